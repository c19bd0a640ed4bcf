"""Sealing: audit entries get a number and a seal, each over the one before it (ARCHITECTURE, invariant 11).

In: committed, unsealed entries. Out: numbers without gaps, and for each entry the HMAC of its RFC 8785 JSON, its number and the seal
before it. Whoever seals holds the lock on the chain's one row; the seals are made before that, outside of any transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from sayso.ledger.audit_key import AuditKey
from sayso.ledger.commitments import sealed_form
from sayso.ledger.database import Ledger, Transaction
from sayso.ledger.outbox import moment, publish
from sayso.ledger.schema import audit, audit_chain
from sayso.ledger.statements import locked, upsert

BATCH = 500
HEAD = "head"
COVERED = ("seq", "at_ms", "actor", "channel", "action", "instance_id", "event_seq", "detail", "salts", "commitments")
"""The columns of an entry that count: all that the sealer does not set itself."""


@dataclass(frozen=True)
class Anchor:
    """How far the chain had come: what is kept outside of the ledger, so that cutting off its end shows."""

    ledger: str
    number: int
    seal: str


def canonical(document: dict[str, Any]) -> bytes:
    """RFC 8785 JSON of ASCII names, texts, whole numbers and nulls: the standard library writes these the same, five times faster."""
    return _encode(document).encode()


def first_seal(key: AuditKey, ledger_id: str) -> str:
    """What stands before entry 1."""
    return key.seal(canonical({"chain": ledger_id}))


def seal_of(key: AuditKey, number: int, previous: str, entry: Row[Any]) -> str:
    """The seal of the entry at this place of the chain."""
    known = entry._mapping
    return seal_over(key, number, previous, {name: known[name] for name in COVERED})


def seal_over(key: AuditKey, number: int, previous: str, covered: Mapping[str, Any]) -> str:
    """The same, of its columns `COVERED` alone."""
    return key.seal(canonical({"number": number, "previous": previous, "entry": sealed_form(covered)}))


def chain_head(tx: Transaction) -> Row[Any] | None:
    """Where the chain ends; None before anything was sealed."""
    return tx.one(_HEAD)


def begin_chain(tx: Transaction, key: AuditKey, ledger_id: str) -> None:
    """An empty chain; one that is there stays."""
    begin = {"name": HEAD, "number": 0, "seal": first_seal(key, ledger_id), "key_mark": key.mark}
    tx.run(upsert(tx.dialect, audit_chain).on_conflict_do_nothing(), begin | {"anchored_number": 0, "anchored_at_ms": tx.now_ms})


def seal_batch(ledger: Ledger, key: AuditKey) -> int:
    """Seal the oldest unsealed entries; returns how many, 0 also when another sealer was first."""
    head, entries = ledger.read(lambda tx: (chain_head(tx), tx.all(_UNSEALED)))
    if head is None or not entries:
        return 0
    seals, number, seal = [], head.number, head.seal
    for entry in entries:
        number += 1
        seal = seal_of(key, number, seal, entry)
        seals.append({"this_seq": entry.seq, "number": number, "seal": seal})
    return ledger.transact(partial(_append, head=head, seals=seals))


def anchor_chain(tx: Transaction, ledger_id: str, interval_ms: int) -> Anchor | None:
    """Publish how far the chain has come, if it has grown and it is time."""
    head = tx.one(_lock_head(tx.dialect))
    if head is None or head.number == head.anchored_number or tx.now_ms < head.anchored_at_ms + interval_ms:
        return None
    anchor = Anchor(ledger_id, head.number, head.seal)
    publish(
        tx,
        event_id=f"audit:{ledger_id}:{head.number}",
        topic="audit-anchors",
        event_type="sayso.audit.anchored.v1",
        key=ledger_id,
        data={"ledger": ledger_id, "number": head.number, "seal": head.seal, "anchored_at": moment(tx.now_ms).isoformat()},
    )
    tx.run(_MOVE_HEAD, {"anchored_number": head.number, "anchored_at_ms": tx.now_ms})
    return anchor


def _append(tx: Transaction, head: Row[Any], seals: list[dict[str, Any]]) -> int:
    current = tx.one(_lock_head(tx.dialect))
    if current is None or (current.number, current.seal) != (head.number, head.seal):
        return 0  # another sealer is at it, or was faster
    tx.run(_SEAL, seals)
    last = seals[-1]
    tx.run(_MOVE_HEAD, {"number": last["number"], "seal": last["seal"]})
    return len(seals)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_HEAD = select(audit_chain).where(audit_chain.c.name == HEAD)
_UNSEALED = select(*(audit.c[name] for name in COVERED)).where(audit.c.number.is_(None)).order_by(audit.c.seq).limit(BATCH)
_SEAL = update(audit).where(audit.c.seq == bindparam("this_seq"), audit.c.number.is_(None))
_MOVE_HEAD = update(audit_chain).where(audit_chain.c.name == HEAD)


@cache
def _lock_head(dialect: str) -> Any:
    return locked(dialect, _HEAD, skip_locked=True)
