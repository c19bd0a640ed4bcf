"""The outbox: what Sayso publishes, written in the transaction that causes it (ARCHITECTURE, invariant 7).

In: an event to publish, with an id made from what caused it. Out: a due row; the dispatcher publishes it at least once,
always with that id. The same id again is no second row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, update

from sayso.contracts.cloudevent import format_event, in_utc
from sayso.contracts.dead_letter import DEAD, SOURCE, Marks, dead_letter
from sayso.ledger.database import Transaction
from sayso.ledger.schema import notices, outbox
from sayso.ledger.statements import by_due_index, lease, upsert


def moment(at_ms: int) -> datetime:
    """A ledger time as an aware datetime."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def publish(
    tx: Transaction, *, event_id: str, topic: str, event_type: str, key: str, data: dict[str, Any], instance_id: str | None = None
) -> None:
    """Queue one event for publication."""
    body = format_event(
        event_id=event_id, source=SOURCE, event_type=event_type, data=data, time=moment(tx.now_ms), subject=instance_id
    )
    _queue(tx, event_id, topic, event_type, key, body, instance_id)


def _queue(tx: Transaction, event_id: str, topic: str, event_type: str, key: str, body: bytes, instance_id: str | None) -> None:
    row = {
        "event_id": event_id,
        "topic": topic,
        "partition_key": key,
        "type": event_type,
        "instance_id": instance_id,
        "body": body,
        "created_at_ms": tx.now_ms,
        "attempts": 0,
        "due_at_ms": tx.now_ms,
    }
    tx.run(_insert_once(tx.dialect, outbox), row)


def publish_dead_letter(tx: Transaction, event: Mapping[str, Any]) -> None:
    """Put an event that could not be used on `deadletters`, once for each time that it came to rest there."""
    marks = Marks(
        letter=f"dead:{event['seq']}-{event['received_at_ms']}:{event['state']}:{event['sightings']}",
        state=event["state"],
        reason=event["reason"],
        topic=event["topic"],
        digest=event["digest"],
        seq=event["seq"],
        attempts=event["sightings"],
        firsttime=in_utc(moment(event["received_at_ms"])),
        lasttime=in_utc(moment(event["last_seen_at_ms"])),
        rule=event["binding"],
        case=event["instance_id"],
    )
    body = dead_letter(event["original"], marks, moment(tx.now_ms), is_event=event["event_id"] is not None)
    _queue(tx, marks.letter, "deadletters", DEAD, event["key"] or event["topic"], body, event["instance_id"])


def notify(tx: Transaction, *, notice_id: str, instance_id: str, name: str, recipient: str, title: str, body: str) -> None:
    """Queue one notice to a person or group; the worker sends it."""
    row = {
        "notice_id": notice_id,
        "instance_id": instance_id,
        "name": name,
        "recipient": recipient,
        "title": title,
        "body": body,
        "created_at_ms": tx.now_ms,
        "attempts": 0,
        "due_at_ms": tx.now_ms,
    }
    tx.run(_insert_once(tx.dialect, notices), row)


@dataclass(frozen=True)
class Outgoing:
    """A leased row of the outbox."""

    seq: int
    topic: str
    partition_key: str
    event_id: str
    body: bytes
    attempts: int


def lease_outgoing(tx: Transaction, lease_ms: int, limit: int) -> list[Outgoing]:
    """Take due events, oldest first."""
    columns = tuple(field.name for field in fields(Outgoing))
    rows = tx.all(_lease(tx.dialect, outbox, columns), {"now_ms": tx.now_ms, "until_ms": tx.now_ms + lease_ms, "max_rows": limit})
    return sorted((Outgoing(**row._mapping) for row in rows), key=lambda row: row.seq)


def mark_published(tx: Transaction, seqs: Iterable[int]) -> None:
    """The broker has them."""
    tx.run(_done(outbox, "published_at_ms"), {"seqs": list(seqs), "published_at_ms": tx.now_ms})


def postpone(tx: Transaction, table: Any, seqs: Iterable[int], delay_ms: int, error: str) -> None:
    """Not this time: due again after `delay_ms`, unless another dispatcher, after the lease, has done it meanwhile."""
    tx.run(_of_due_seqs(table), {"seqs": list(seqs), "due_at_ms": tx.now_ms + delay_ms, "last_error": error[:500]})


@dataclass(frozen=True)
class OutgoingNotice:
    """A leased row of the notices."""

    seq: int
    notice_id: str
    name: str
    recipient: str
    title: str
    body: str
    attempts: int


def lease_notices(tx: Transaction, lease_ms: int, limit: int) -> list[OutgoingNotice]:
    """Take due notices, oldest first."""
    columns = tuple(field.name for field in fields(OutgoingNotice))
    rows = tx.all(_lease(tx.dialect, notices, columns), {"now_ms": tx.now_ms, "until_ms": tx.now_ms + lease_ms, "max_rows": limit})
    return sorted((OutgoingNotice(**row._mapping) for row in rows), key=lambda row: row.seq)


def mark_sent(tx: Transaction, seqs: Iterable[int]) -> None:
    """The notices went out."""
    tx.run(_done(notices, "sent_at_ms"), {"seqs": list(seqs), "sent_at_ms": tx.now_ms})


@cache
def _insert_once(dialect: str, table: Table) -> Any:
    """An id that exists already is left as it is."""
    return upsert(dialect, table).on_conflict_do_nothing()


@cache
def _of_seqs(table: Table) -> Any:
    return update(table).where(table.c.seq.in_(bindparam("seqs", expanding=True)))


@cache
def _of_due_seqs(table: Table) -> Any:
    return _of_seqs(table).where(table.c.due_at_ms.isnot(None))


@cache
def _done(table: Table, when: str) -> Any:
    """Rows that want no more attention, and the time of it."""
    rows = update(table).where(table.c.seq.in_(bindparam("seqs", expanding=True)))
    return rows.values({when: bindparam(when), "due_at_ms": None, "last_error": None})


@cache
def _lease(dialect: str, table: Table, columns: tuple[str, ...]) -> Any:
    statement = lease(dialect, table, identify_by=table.c.seq, order_by=by_due_index(dialect, table.c.seq))
    return statement.returning(*(table.c[name] for name in columns))
