"""The export of one case for an auditor: all that the ledger has on it, with its part of the audit chain.

In: a case. Out: a document that is JSON. It only reads. Each audit entry comes with its number, its seal and the seal before it, and
the whole document with a seal of its own, so that whoever has the chain's key can check it without the database (`findings_in`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import rfc8785
from sqlalchemy import Row, or_, select

from sayso.contracts.cloudevent import in_utc
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.commitments import broken
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.queries.timeline import timeline_of
from sayso.ledger.queries.views import CaseView
from sayso.ledger.schema import audit, events, notices, outbox, tasks
from sayso.ledger.sealing import COVERED, chain_head, first_seal, seal_over
from sayso.ledger.verifying import Finding

FORMAT = "sayso.audit.export.v1"
SEAL = "seal"


def export_case(tx: Transaction, case: CaseView, ledger_id: str, key: AuditKey | None) -> dict[str, Any]:
    """The document. Without the key it has no seal of its own."""
    head = chain_head(tx)
    plan = case.plan.get("approval") or {}
    document = {
        "format": FORMAT,
        "ledger": ledger_id,
        "exported_at": in_utc(moment(tx.now_ms)),
        "case": {
            name: getattr(case, name)
            for name in ("instance_id", "workflow", "key", "generation", "phase", "outcome", "result", "reason", "request")
        }
        | {"opened_at": in_utc(case.opened_at), "closed_at": in_utc(case.closed_at) if case.closed_at is not None else None},
        "policy": {name: plan.get(name) for name in ("policy", "version", "policy_hash", "rule", "request_hash", "request_version")},
        "stages": [_stage(row) for row in tx.all(select(tasks).where(tasks.c.instance_id == case.instance_id))],
        "events": [_event(row) for row in tx.all(_of_case(events, case).order_by(events.c.seq))],
        "published": [_published(row) for row in tx.all(_of_case(outbox, case).order_by(outbox.c.seq))],
        "notices": [_notice(row) for row in tx.all(_of_case(notices, case).order_by(notices.c.seq))],
        "timeline": [{"at": in_utc(entry.at), "kind": entry.kind, "text": entry.text} for entry in timeline_of(tx, case)],
        "audit": list(_audit(tx, case)),
        "chain": {"number": head.number, "seal": head.seal} if head is not None else None,
    }
    return document | ({SEAL: key.seal(rfc8785.dumps(document))} if key is not None else {})


def findings_in(document: Mapping[str, Any], key: AuditKey) -> Iterator[Finding]:
    """What is not as it was exported; `KeyError` or `TypeError` for what is no export."""
    body = {name: value for name, value in document.items() if name != SEAL}
    if document.get(SEAL) is None:
        yield Finding(None, "the export has no seal of its own: it was made without the audit key")
    elif key.seal(rfc8785.dumps(body)) != document[SEAL]:
        yield Finding(None, "the export is not what was sealed: it was changed, or sealed with another key")
    for entry in document["audit"]:
        if entry["number"] is not None:
            previous = entry["previous"] if entry["number"] > 1 else first_seal(key, document["ledger"])
            if seal_over(key, entry["number"], previous, entry["entry"]) != entry["seal"] or any(broken(entry["entry"])):
                yield Finding(entry["number"], f"entry {entry['number']} is not what was sealed there")
    for event in document["events"]:
        if not event["redacted"] and event["digest"] != hashlib.sha256(_bytes(event["original"])).hexdigest():
            yield Finding(None, f"the bytes of event {event['number']} are not those that came")


def _of_case(table: Any, case: CaseView) -> Any:
    return select(table).where(table.c.instance_id == case.instance_id)


def _audit(tx: Transaction, case: CaseView) -> Iterator[dict[str, Any]]:
    its_events = select(events.c.seq).where(events.c.instance_id == case.instance_id)
    before = audit.alias("before")
    query = (
        select(*(audit.c[name] for name in (*COVERED, "number", "seal")), before.c.seal.label("previous"))
        .select_from(audit.outerjoin(before, before.c.number == audit.c.number - 1))
        .where(or_(audit.c.instance_id == case.instance_id, audit.c.event_seq.in_(its_events)))
        .order_by(audit.c.seq)
    )
    for row in tx.all(query):
        known = row._mapping
        entry = {name: known[name] for name in COVERED}
        yield {"number": row.number, "previous": row.previous, "seal": row.seal, "entry": entry}


def _event(row: Row[Any]) -> dict[str, Any]:
    return {
        "number": row.seq,
        "topic": row.topic,
        "source": row.source,
        "id": row.event_id,
        "type": row.type,
        "state": row.state,
        "reason": row.reason,
        "received_at": in_utc(moment(row.received_at_ms)),
        "sightings": row.sightings,
        "redacted": row.redacted_at_ms is not None,
        "digest": row.digest,
        "original": _text(bytes(row.original)),
    }


def _stage(row: Row[Any]) -> dict[str, Any]:
    return {
        "stage": row.stage,
        "asked": row.assigned_to,
        "state": row.state,
        "decision": row.decision,
        "decided_by": row.decided_by,
        "comment": row.comment,
        "votes": json.loads(row.votes) if row.votes else [],
        "opened_at": in_utc(moment(row.created_at_ms)),
        "due_at": in_utc(moment(row.due_at_ms)),
        "decided_at": _time(row.decided_at_ms),
    }


def _published(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.event_id,
        "topic": row.topic,
        "type": row.type,
        "published_at": _time(row.published_at_ms),
        "body": _text(bytes(row.body)),
    }


def _notice(row: Row[Any]) -> dict[str, Any]:
    return {"name": row.name, "to": row.recipient, "title": row.title, "sent_at": _time(row.sent_at_ms)}


def _time(at_ms: int | None) -> str | None:
    return in_utc(moment(at_ms)) if at_ms is not None else None


def _text(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _bytes(written: Mapping[str, str]) -> bytes:
    return written["text"].encode() if "text" in written else base64.b64decode(written["base64"])
