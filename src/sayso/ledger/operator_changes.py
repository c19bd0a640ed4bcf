"""What operators change in an approval: they reassign a seat, have it planned anew, or cancel the case.

In: a case, who asks for what and why. Out: an event of the case, as if it had come on a topic, with the channel `operator`: it goes
the way of every other event, through the same gate, and its state says what became of it. Nothing reaches a workflow past its events.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from sayso.contracts.catalog import CHANGE_EVENT
from sayso.contracts.changes import Change, ChangeRequested
from sayso.contracts.cloudevent import format_event
from sayso.ledger import audit
from sayso.ledger.acts import CHANNEL, Asked
from sayso.ledger.adopting import OPERATOR
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.schema import cases, events
from sayso.ledger.states import EventState

SOURCE, TYPE = "/sayso/operator", "sayso.case.change-asked.v1"


def reassign(
    tx: Transaction, instance_id: str, *, actor: str, reason: str, to: str, holder: str | None = None, stage: str | None = None
) -> Asked:
    """Let somebody else decide in the place of one who is asked."""
    wanted = ChangeRequested(change=Change.REASSIGN, actor=actor, reason=reason, to=to, holder=holder, stage=stage)
    return _ask(tx, instance_id, wanted, actor, reason)


def replan(tx: Transaction, instance_id: str, *, actor: str, reason: str) -> Asked:
    """Plan the request by the policy and the directory of today; those whom that concerns are asked anew."""
    return _ask(tx, instance_id, ChangeRequested(change=Change.REPLAN, actor=actor, reason=reason), actor, reason)


def cancel(tx: Transaction, instance_id: str, *, actor: str, reason: str) -> Asked:
    """End the case by its own rules: what it did is undone as its workflow says."""
    return _ask(tx, instance_id, ChangeRequested(change=Change.CANCEL, actor=actor, reason=reason), actor, reason)


def _ask(tx: Transaction, instance_id: str, wanted: ChangeRequested, actor: str, reason: str) -> Asked:
    case = tx.one(_CASE, {"instance_id": instance_id})
    if case is not None:
        lock_case_key(tx, case.workflow, case.key)
        case = tx.one(_CASE, {"instance_id": instance_id})
    refusal = _why_not(case)
    if refusal is not None or case is None:
        return Asked(done=False, case=instance_id, reason=refusal or "there is no such case")
    seq = _put(tx, case, wanted)
    audit.record(
        tx, f"case-{wanted.change}-asked", actor=actor, channel=CHANNEL, instance_id=instance_id, event_seq=seq, reason=reason
    )
    tx.run(_MAKE_DUE, {"this_case": instance_id, "due_at_ms": tx.now_ms})
    return Asked(done=True, case=instance_id, reason=f"asked for, as event {seq}", event=seq)


def _why_not(case: Any) -> str | None:
    if case is None:
        return "there is no such case"
    if case.phase == "closed":
        return f"it has ended: {case.outcome}"
    if not json.loads(case.input)["plan"].get("approval_begun"):
        return "no policy's plan decides on it, so it does not listen; it can be ended with: sayso workflow terminate"
    return None


def _put(tx: Transaction, case: Any, wanted: ChangeRequested) -> int:
    payload = wanted.model_dump(mode="json", exclude_none=True)
    event_id = f"{wanted.change}-{secrets.token_hex(8)}"
    now = moment(tx.now_ms)
    original = format_event(event_id=event_id, source=SOURCE, event_type=TYPE, data=payload, time=now, subject=case.instance_id)
    identity = hashlib.sha256(f"{SOURCE}\x00{event_id}".encode()).hexdigest()
    values = {
        "topic": OPERATOR,
        "digest": hashlib.sha256(original).hexdigest(),
        "original": original,
        "identity": identity,
        "source": SOURCE,
        "event_id": event_id,
        "type": TYPE,
        "workflow": case.workflow,
        "key": case.key,
        "event_name": CHANGE_EVENT,
        "payload": json.dumps(payload),
        "instance_id": case.instance_id,
        "state": EventState.DELIVERING.value,
        "reason": f"for {case.instance_id} as {CHANGE_EVENT}",
        "received_at_ms": tx.now_ms,
        "updated_at_ms": tx.now_ms,
        "last_seen_at_ms": tx.now_ms,
        "sightings": 1,
        "attempts": 0,
    }
    return int(tx.run(insert(events).returning(events.c.seq), values).scalar_one())


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_MAKE_DUE = update(cases).where(cases.c.instance_id == bindparam("this_case"), cases.c.due_at_ms.is_(None))
