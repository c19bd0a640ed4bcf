"""Questions about events that could not be used: which there are, by any mark that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select

from sayso.config_file import did_you_mean
from sayso.errors import ConfigurationError
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.queries.views import EventView, event_view
from sayso.ledger.schema import events
from sayso.ledger.states import FAILED, EventState

STATES = (*sorted(state.value for state in FAILED), EventState.DEAD.value)


@dataclass(frozen=True)
class DeadFilter:
    """Which of them; what is empty or None leaves all in. `since` and `until` are about when the event failed."""

    states: Sequence[str] = ()
    type: str | None = None
    topic: str | None = None
    key: str | None = None
    case: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    numbers: Sequence[int] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it leaves everything in."""
        return self == DeadFilter()

    def condition(self) -> ColumnElement[bool]:
        """As SQL. Without a state it is those that failed and were not given up."""
        unknown = [state for state in self.states if state not in STATES]
        if unknown:
            raise ConfigurationError(f'no state "{unknown[0]}" of events that failed{did_you_mean(unknown[0], STATES)}')
        wanted = self.states or [state.value for state in FAILED]
        parts: list[ColumnElement[bool]] = [events.c.state.in_(wanted)]
        for column, value in ((events.c.type, self.type), (events.c.topic, self.topic), (events.c.key, self.key)):
            if value is not None:
                parts.append(column == value)
        if self.case is not None:
            parts.append(or_(events.c.instance_id == self.case, events.c.key == self.case))
        if self.reason is not None:
            parts.append(events.c.reason.icontains(self.reason, autoescape=True))
        if self.since is not None:
            parts.append(events.c.updated_at_ms >= round(self.since.timestamp() * 1000))
        if self.until is not None:
            parts.append(events.c.updated_at_ms < round(self.until.timestamp() * 1000))
        if self.numbers:
            parts.append(events.c.seq.in_(self.numbers))
        return and_(*parts)


def list_dead(tx: Transaction, wanted: DeadFilter, limit: int, before: int | None = None) -> list[EventView]:
    """The latest of them (`before` this number), newest first."""
    query = select(events).where(wanted.condition()).order_by(events.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(events.c.seq < before)
    return [event_view(row) for row in tx.all(query)]


def count_dead(tx: Transaction, wanted: DeadFilter) -> dict[str, int]:
    """How many there are, by state."""
    query = select(events.c.state, func.count().label("rows")).where(wanted.condition()).group_by(events.c.state)
    return {row.state: int(row.rows) for row in tx.all(query)}


def dead_numbers(tx: Transaction, wanted: DeadFilter) -> list[int]:
    """The numbers of all of them, in ledger order: a start is driven again before what wakes its case."""
    return [row.seq for row in tx.all(select(events.c.seq).where(wanted.condition()).order_by(events.c.seq))]


@dataclass(frozen=True)
class DeadBytes:
    """What came, where and when."""

    topic: str
    original: bytes
    digest: str
    received_at: datetime


def dead_bytes(tx: Transaction, seq: int) -> DeadBytes | None:
    """The bytes of one event."""
    row = tx.one(select(events.c.topic, events.c.original, events.c.digest, events.c.received_at_ms).where(events.c.seq == seq))
    return DeadBytes(row.topic, bytes(row.original), row.digest, moment(row.received_at_ms)) if row is not None else None
