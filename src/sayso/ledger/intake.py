"""Intake: the original bytes of a message become a row, once.

In: topic and bytes, as the broker delivered them. Out: a committed row in state `received`. The handler acknowledges
only after this commit, and nothing else happens before it (ARCHITECTURE, invariant 1). The same bytes again are a sighting, not a row.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from sqlalchemy import and_, bindparam, case

from sayso.ledger.alerts import DUPLICATE_COLUMNS, alert_of_duplicate
from sayso.ledger.database import Transaction
from sayso.ledger.schema import events
from sayso.ledger.statements import upsert
from sayso.ledger.states import RESENT, EventState


def receive(tx: Transaction, topic: str, original: bytes) -> None:
    """Keep one message. A resend of an unmatched or expired event drives it again, unless that it came too late has been answered."""
    keep(tx, topic, hashlib.sha256(original).hexdigest(), original)


def keep(tx: Transaction, topic: str, digest: str, original: bytes) -> None:
    """The row of a message with this digest: made, or counted once more."""
    kept = tx.one(_insert_or_count(tx.dialect), {"topic": topic, "digest": digest, "original": original, "now_ms": tx.now_ms})
    if kept is not None and kept.sightings > 1 and kept.on_duplicate is not None:
        alert_of_duplicate(tx, kept)


@cache
def _insert_or_count(dialect: str) -> Any:
    now_ms: Any = bindparam("now_ms")
    insert = upsert(dialect, events).values(
        topic=bindparam("topic"),
        digest=bindparam("digest"),
        original=bindparam("original"),
        state=EventState.RECEIVED.value,
        received_at_ms=now_ms,
        updated_at_ms=now_ms,
        last_seen_at_ms=now_ms,
        sightings=1,
        attempts=0,
        due_at_ms=now_ms,
    )
    resent = and_(events.c.state.in_([state.value for state in RESENT]), events.c.answered_by.is_(None))
    statement = insert.on_conflict_do_update(
        index_elements=[events.c.topic, events.c.digest],
        set_={
            "sightings": events.c.sightings + 1,
            "last_seen_at_ms": now_ms,
            "state": case((resent, EventState.RECEIVED.value), else_=events.c.state),
            "due_at_ms": case((resent, now_ms), else_=events.c.due_at_ms),
            "attempts": case((resent, 0), else_=events.c.attempts),
        },
    )
    return statement.returning(*(events.c[name] for name in DUPLICATE_COLUMNS))
