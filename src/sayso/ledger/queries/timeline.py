"""The timeline of a case: what the ledger knows of it, merged from all its tables, in order of time.

In: a case. Out: entries. What fails or repeats is as visible as what went well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select

from sayso.ledger.audit import SYSTEM
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.queries.progress import progress_of
from sayso.ledger.queries.views import CaseView, EventView, audit_view, event_view
from sayso.ledger.schema import audit, events, notices, outbox, steps, tasks
from sayso.ledger.states import EventState

RESULT_CHARACTERS_MAX = 200
ORDER = ("event", "case", "task", "decision", "audit", "step", "state", "engine", "notice", "published", "ended")
"""What comes first among entries of one moment: causes before effects."""


@dataclass(frozen=True)
class Entry:
    """One line: when, what kind (one of `ORDER`), what happened. `event` is the ledger's number of an event."""

    at: datetime
    kind: str
    text: str
    event: int | None = None

    @property
    def place(self) -> tuple[datetime, int]:
        """Sort key."""
        return self.at, ORDER.index(self.kind)


def timeline_of(tx: Transaction, case: CaseView) -> list[Entry]:
    """All entries of the case, in order."""
    found = [*_of_case(case), *_of_events(tx, case), *_of_tasks(tx, case), *_of_audit(tx, case)]
    found += [*_of_steps(tx, case), *_of_notices(tx, case), *_of_outbox(tx, case)]
    return sorted(found, key=lambda entry: entry.place)


def events_of(tx: Transaction, case: CaseView) -> list[EventView]:
    """The case's events, and those of its key that never found a case."""
    homeless = and_(events.c.workflow == case.workflow, events.c.key == case.key, events.c.instance_id.is_(None))
    query = select(events).where(or_(events.c.instance_id == case.instance_id, homeless)).order_by(events.c.seq)
    return [event_view(row) for row in tx.all(query)]


def _of_case(case: CaseView) -> Iterator[Entry]:
    yield Entry(case.opened_at, "case", f"case opened: {case.workflow}, generation {case.generation}", case.opened_by)
    if case.closed_at is not None:
        milestones = f" ({', '.join(case.milestones)})" if case.milestones else ""
        because = f": {case.reason}" if case.reason else ""
        yield Entry(case.closed_at, "ended", f"case ended: {case.outcome}{milestones}{because}")


def _of_events(tx: Transaction, case: CaseView) -> Iterator[Entry]:
    for event in events_of(tx, case):
        what = f"{event.type} {event.event_id!r} from {event.source} on {event.topic}"
        yield Entry(event.received_at, "event", f"event {event.number} arrived: {what}", event.number)
        if event.sightings > 1:
            again = f"event {event.number} seen again, {event.sightings} times in all"
            yield Entry(event.last_seen_at, "event", again, event.number)
        if event.state not in (EventState.RECEIVED, EventState.STARTED):
            reason = (event.reason or "").replace(f" of {case.instance_id}", "").replace(f"for {case.instance_id} ", "")
            yield Entry(event.changed_at, "state", f"event {event.number} {event.state}: {reason}", event.number)


def _of_tasks(tx: Transaction, case: CaseView) -> Iterator[Entry]:
    for row in tx.all(_mine(tasks, case)):
        until = moment(row.due_at_ms).astimezone()
        asked = f"{row.stage} asked of {row.assigned_to}, until {until:%Y-%m-%d %H:%M:%S}"
        yield Entry(moment(row.created_at_ms), "task", asked)


def _of_audit(tx: Transaction, case: CaseView) -> Iterator[Entry]:
    """Decisions, and whatever no other table tells."""
    told_elsewhere = ("case-opened", "case-closed")
    its_events = select(events.c.seq).where(events.c.instance_id == case.instance_id)
    mine = or_(audit.c.instance_id == case.instance_id, audit.c.event_seq.in_(its_events))
    for row in tx.all(select(audit).where(mine).order_by(audit.c.seq)):
        entry = audit_view(row)
        if entry.action in told_elsewhere or (entry.action.startswith("event-") and entry.actor == SYSTEM):
            continue
        if entry.action.startswith("decided-"):
            comment = f": {entry.detail['comment']}" if entry.detail.get("comment") else ""
            verb = entry.action.removeprefix("decided-")
            stage = f" on {entry.detail['stage']}" if entry.detail.get("stage") else ""
            place = f", in the place of {entry.detail['on_behalf_of']}" if entry.detail.get("on_behalf_of") else ""
            said = f"{entry.actor} decided: {verb}{stage}{place}{comment} (through {entry.channel})"
            yield Entry(entry.at, "decision", said, row.event_seq)
            continue
        told = {name: value for name, value in entry.detail.items() if value is not None and not name.endswith("_hash")}
        detail = "; ".join(f"{name}: {value}" for name, value in told.items())
        yield Entry(entry.at, "audit", f"{entry.action} by {entry.actor} ({entry.channel}): {detail}", row.event_seq)


def _of_steps(tx: Transaction, case: CaseView) -> Iterator[Entry]:
    progress = progress_of(tx, case)
    query = _mine(steps, case)
    if progress is not None:  # thousands of lines would hide the others
        query = query.where(steps.c.step != progress.step)
        if case.closed_at is not None and progress.last_at_ms is not None:
            yield Entry(moment(progress.last_at_ms), "step", f"{progress.step} done {progress.done:,} times, the last one")
    for row in tx.all(query):
        result = json.loads(row.result)
        told = f": {json.dumps(result)}" if result else ""
        again = f" (time {row.iteration + 1})" if row.iteration else ""
        yield Entry(moment(row.done_at_ms), "step", f"{row.step}{again} done{told[:RESULT_CHARACTERS_MAX]}")


def _of_notices(tx: Transaction, case: CaseView) -> Iterator[Entry]:
    for row in tx.all(_mine(notices, case).order_by(notices.c.seq)):
        if row.sent_at_ms is not None:
            yield Entry(moment(row.sent_at_ms), "notice", f"{row.name} sent to {row.recipient}: {row.title}")
        else:
            yield Entry(moment(row.created_at_ms), "notice", f"{row.name} to {row.recipient}{_trouble(row)}")


def _of_outbox(tx: Transaction, case: CaseView) -> Iterator[Entry]:
    for row in tx.all(_mine(outbox, case).order_by(outbox.c.seq)):
        if row.published_at_ms is not None:
            yield Entry(moment(row.published_at_ms), "published", f"published on {row.topic}: {row.type} {row.event_id!r}")
        else:
            yield Entry(moment(row.created_at_ms), "published", f"to be published on {row.topic}: {row.type}{_trouble(row)}")


def _trouble(row: Any) -> str:
    return f" waits, after {row.attempts} attempts: {row.last_error}" if row.last_error else " waits"


def _mine(table: Any, case: CaseView) -> Select[Any]:
    return select(table).where(table.c.instance_id == case.instance_id)
