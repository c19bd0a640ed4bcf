"""Messages larger than the transport allows: refused at the door, with an alert, so that no broker delivers them for ever.

In: topic and bytes of a message that went past Dapr, whose own limit is 4 MiB. Out: one row, `rejected`, its dead letter and one
alert. Up to `KEPT_BYTES_MAX` the row has all of the bytes, beyond that their beginning and the SHA-256 of the whole.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from sayso.ledger.alerts import alert
from sayso.ledger.database import Transaction
from sayso.ledger.event_rows import move
from sayso.ledger.intake import keep
from sayso.ledger.schema import events
from sayso.ledger.statements import locked
from sayso.ledger.states import EventState

TRANSPORT_BYTES_MAX = 4 * 1024 * 1024
"""What daprd takes of a publisher unless told otherwise; larger messages come from writers to the broker itself."""

KEPT_BYTES_MAX = 16 * 1024 * 1024
BEGINNING_BYTES = 64 * 1024


def receive_oversized(tx: Transaction, topic: str, original: bytes) -> None:
    """Keep what can be kept of one message, and refuse it. The same message again is a sighting, and no second alert."""
    digest = hashlib.sha256(original).hexdigest()
    whole = len(original) <= KEPT_BYTES_MAX
    keep(tx, topic, digest, original if whole else original[:BEGINNING_BYTES])
    row = tx.one(_lock_message(tx.dialect), {"topic": topic, "digest": digest})
    if row is None or row.state != EventState.RECEIVED:
        return
    kept = "" if whole else f", of which the first {BEGINNING_BYTES} are kept"
    reason = f"the message has {len(original)} bytes{kept}; at most {TRANSPORT_BYTES_MAX} are taken: send what is large by reference"
    move(tx, row, EventState.REJECTED, reason)
    detail = {"event": row.seq, "topic": topic, "bytes": len(original), "sha256": digest}
    alert(tx, "message-too-large", occurrence=f"{topic}:{digest}", reason=f"on {topic}: {reason}", detail=detail)


@cache
def _lock_message(dialect: str) -> Any:
    return locked(dialect, select(events).where(events.c.topic == bindparam("topic"), events.c.digest == bindparam("digest")))
