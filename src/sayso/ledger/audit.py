"""The audit log: who did what to which case or event. Entries are only ever inserted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from sayso.ledger.commitments import as_json, commit
from sayso.ledger.database import Transaction
from sayso.ledger.schema import audit

SYSTEM = "sayso"
PERSON_ERASED = "person-erased"
_INSERT = insert(audit)


def record(
    tx: Transaction,
    action: str,
    *,
    actor: str = SYSTEM,
    channel: str = "topic",
    instance_id: str | None = None,
    event_seq: int | None = None,
    **detail: Any,
) -> None:
    """Add one entry. `action` is a verb in the past tense, `case-opened`; `detail` is JSON-ready."""
    text = as_json(detail)
    salts, commitments = commit(actor, detail, SYSTEM)
    tx.run(
        _INSERT,
        {
            "at_ms": tx.now_ms,
            "actor": actor,
            "channel": channel,
            "action": action,
            "instance_id": instance_id,
            "event_seq": event_seq,
            "detail": text,
            "salts": salts,
            "commitments": commitments,
        },
    )
