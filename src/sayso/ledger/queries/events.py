"""Questions about events: which there are, which one a person means, and everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select

from sayso.config_file import did_you_mean
from sayso.errors import ConfigurationError
from sayso.ledger.database import Transaction
from sayso.ledger.queries.cases import case_by_id
from sayso.ledger.queries.views import (
    AuditView,
    CaseView,
    EventView,
    OutgoingView,
    audit_view,
    event_view,
    outgoing_view,
)
from sayso.ledger.schema import audit, events, outbox
from sayso.ledger.states import EventState

SERIAL_MAX = 2**63 - 1


@dataclass(frozen=True)
class EventDetail:
    """One event with its case, what is in the audit log about it, and what Sayso published because of it."""

    event: EventView
    case: CaseView | None
    audit: list[AuditView]
    caused: list[OutgoingView]
    dead_letters: list[OutgoingView]


def list_events(
    tx: Transaction, state: str | None = None, topic: str | None = None, limit: int = 20, before: int | None = None
) -> list[EventView]:
    """The latest events (`before` this number), newest first; `ConfigurationError` for a state that does not exist."""
    query = select(events).order_by(events.c.seq.desc()).limit(limit)
    if state is not None:
        states = [each.value for each in EventState]
        if state not in states:
            raise ConfigurationError(f'no state "{state}"{did_you_mean(state, states)}')
        query = query.where(events.c.state == state)
    if topic is not None:
        query = query.where(events.c.topic == topic)
    if before is not None:
        query = query.where(events.c.seq < before)
    return [event_view(row) for row in tx.all(query)]


def find_events(tx: Transaction, reference: str, source: str | None = None) -> list[EventView]:
    """The events that a person may mean: by CloudEvent id, by the ledger's number, or by `#NUMBER`, which is only that."""
    meanings = [] if reference.startswith("#") and number_in(reference[1:]) is not None else [events.c.event_id == reference]
    number = number_in(reference.removeprefix("#"))
    if number is not None:
        meanings.append(events.c.seq == number)
    query = select(events).where(or_(*meanings)).order_by(events.c.seq).limit(50)
    if source is not None:
        query = query.where(events.c.source == source)
    return [event_view(row) for row in tx.all(query)]


def find_outgoing(tx: Transaction, event_id: str) -> OutgoingView | None:
    """An event that Sayso itself publishes, by its CloudEvent id."""
    row = tx.one(select(outbox).where(outbox.c.event_id == event_id))
    return outgoing_view(row) if row is not None else None


def detail_of(tx: Transaction, event: EventView) -> EventDetail:
    """Everything about one event. What it caused was written in the transaction that used it: same case, same moment."""
    changed_at_ms = round(event.changed_at.timestamp() * 1000)
    caused = and_(outbox.c.instance_id == event.case, outbox.c.created_at_ms == changed_at_ms, ~outbox.c.event_id.like("dead:%"))
    if event.answered_by is not None:
        caused = outbox.c.event_id == event.answered_by
    dead = outbox.c.event_id.like(f"dead:{event.number}-%")
    uses_its_case = event.case is not None and event.state in (EventState.STARTED, EventState.CONSUMED)
    return EventDetail(
        event=event,
        case=case_by_id(tx, event.case) if event.case else None,
        audit=[audit_view(row) for row in tx.all(select(audit).where(audit.c.event_seq == event.number).order_by(audit.c.seq))],
        caused=_outgoing(tx, caused) if uses_its_case or event.answered_by is not None else [],
        dead_letters=_outgoing(tx, dead),
    )


def event_by_identity(tx: Transaction, identity: str) -> EventView | None:
    """The event that has claimed this source and id."""
    row = tx.one(select(events).where(events.c.identity == identity))
    return event_view(row) if row is not None else None


def _outgoing(tx: Transaction, condition: ColumnElement[bool]) -> list[OutgoingView]:
    return [outgoing_view(row) for row in tx.all(select(outbox).where(condition).order_by(outbox.c.seq))]


def number_in(text: str) -> int | None:
    """The ledger number that a text is, if it is one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= SERIAL_MAX else None
