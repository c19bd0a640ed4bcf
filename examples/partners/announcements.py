"""What is to be told to others: one row for an event and a channel, written in the transaction of the effect that it tells of.

In: an effect that others must hear of. Out: rows that are due. Invariant: an event is told at least once through each channel, always
with the same id, whatever was killed; a receiver that knows ids takes it once.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS announcements (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    channel TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    due_at REAL NOT NULL DEFAULT 0,
    UNIQUE (event_id, channel)
);
"""
SOURCE = "/partners/payments"
CAPTURED, FAILED = "com.acme.payment.captured.v1", "com.acme.payment.failed.v1"
PAUSE_SECONDS_FIRST, PAUSE_SECONDS_MAX = 0.2, 30.0
DOUBLINGS_MAX = 10


@dataclass(frozen=True)
class Announcement:
    """One event for one channel."""

    seq: int
    event_id: str
    channel: str
    subject: str
    body: str
    attempts: int


def payment_event(key: str, capture: dict[str, Any]) -> dict[str, Any]:
    """The CloudEvent that a payment system publishes; the same request is the same event."""
    payment_id = f"pay-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    told = {name: capture[name] for name in ("order_id", "workflow") if capture.get(name) is not None} | {"payment_id": payment_id}
    declined = capture.get("declined")
    told |= {"reason": declined} if declined else {"amount": capture["amount"], "currency": capture["currency"]}
    return {
        "specversion": "1.0",
        "id": payment_id,
        "source": SOURCE,
        "type": FAILED if declined else CAPTURED,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": told,
    }


def announce(database: sqlite3.Connection, channels: tuple[str, ...], subject: str, event: dict[str, Any]) -> None:
    """Write the event down for each channel; the caller's transaction makes it true."""
    for channel in channels:
        database.execute(
            "INSERT OR IGNORE INTO announcements (event_id, channel, subject, body) VALUES (?, ?, ?, ?)",
            (event["id"], channel, subject, json.dumps(event)),
        )


def due(database: sqlite3.Connection, channel: str, now: float) -> Announcement | None:
    """The earliest of this channel that is to be told now."""
    row = database.execute(
        "SELECT seq, event_id, channel, subject, body, attempts FROM announcements"
        " WHERE channel = ? AND state = 'waiting' AND due_at <= ? ORDER BY seq LIMIT 1",
        (channel, now),
    ).fetchone()
    return Announcement(*row) if row else None


def told(database: sqlite3.Connection, one: Announcement) -> None:
    """The receiver has it."""
    database.execute(
        "UPDATE announcements SET state = 'told', attempts = attempts + 1, last_error = NULL WHERE seq = ?",
        (one.seq,),
    )


def not_told(database: sqlite3.Connection, one: Announcement, error: str, now: float) -> None:
    """Again later, ever less often, for ever."""
    pause = min(PAUSE_SECONDS_FIRST * 2 ** min(one.attempts, DOUBLINGS_MAX), PAUSE_SECONDS_MAX)
    database.execute(
        "UPDATE announcements SET attempts = attempts + 1, last_error = ?, due_at = ? WHERE seq = ?",
        (error[:500], now + pause, one.seq),
    )


def listed(database: sqlite3.Connection, subject: str | None) -> list[dict[str, Any]]:
    """What has been told and what waits."""
    rows = database.execute(
        "SELECT event_id, channel, subject, state, attempts, last_error FROM announcements"
        " WHERE :subject IS NULL OR subject = :subject ORDER BY seq",
        {"subject": subject},
    )
    return [dict(row) for row in rows]
