"""Questions about all of it: counts, open approval tasks, what Sayso publishes."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Column, and_, func, or_, select

from sayso.errors import SaysoError
from sayso.ledger.database import Transaction
from sayso.ledger.loaded import loaded_bindings
from sayso.ledger.outbox import moment
from sayso.ledger.planning import current_document
from sayso.ledger.queries.health import alerts_since, health
from sayso.ledger.queries.reading import open_for_reading
from sayso.ledger.queries.views import OutgoingView, TaskView, outgoing_view
from sayso.ledger.schema import cases, events, outbox, tasks
from sayso.ledger.states import FAILED, EventState
from sayso.policy import POLICIES

ALERTS_SPAN = timedelta(days=1)


def ledger_summary(url: str) -> dict[str, int] | None:
    """How much of everything there is, by name; None when the ledger cannot be read."""
    try:
        ledger = open_for_reading(url)
        try:
            return ledger.read(summarise)
        finally:
            ledger.close()
    except SaysoError:
        return None


def ledger_health(url: str, overdue_after: timedelta = timedelta(0)) -> dict[str, Any] | None:
    """What waits, since when, and what was told to operators, as JSON-ready data; None when the ledger cannot be read."""
    try:
        ledger = open_for_reading(url)
        try:
            seen = ledger.read(partial(health, overdue_after=overdue_after))
            alerts = ledger.read(partial(alerts_since, span=ALERTS_SPAN))
            bindings = ledger.read(loaded_bindings)
        finally:
            ledger.close()
    except SaysoError:
        return None
    return {
        "events": seen.events,
        "undispatched": seen.undispatched.rows,
        "undispatched_oldest_seconds": seen.undispatched.seconds(seen.at),
        "outbox": seen.outbox.rows,
        "outbox_oldest_seconds": seen.outbox.seconds(seen.at),
        "notices": seen.notices.rows,
        "notices_oldest_seconds": seen.notices.seconds(seen.at),
        "cases_in_trouble": seen.cases_in_trouble,
        "cases_overdue": seen.cases_overdue,
        "failed_last_hour": seen.failed_last_hour,
        "alarms": {kind: since.isoformat(timespec="seconds") for kind, since in seen.alarms.items()},
        "alerts_last_day": alerts,
        "bindings_digest": bindings,
    }


def summarise(tx: Transaction) -> dict[str, int]:
    """Counts of events, of those held and failed, of cases, of those open, and of what is still to be published."""
    by_state = _counts(tx, events.c.state)
    by_phase = _counts(tx, cases.c.phase)
    unpublished = tx.one(select(func.count()).select_from(outbox).where(outbox.c.published_at_ms.is_(None)))
    return {
        "events": sum(by_state.values()),
        "held": by_state.get(EventState.HELD, 0),
        "failed": sum(by_state.get(state, 0) for state in FAILED),
        "cases": sum(by_phase.values()),
        "open": sum(count for phase, count in by_phase.items() if phase != "closed"),
        "unpublished": int(unpublished[0]) if unpublished is not None else 0,
    }


def _counts(tx: Transaction, column: Column[str]) -> dict[str, int]:
    query = select(column.label("name"), func.count().label("rows")).group_by(column)
    return {row.name: int(row.rows) for row in tx.all(query)}


def list_tasks(tx: Transaction, limit: int = 50, after: tuple[int, str] | None = None) -> list[TaskView]:
    """Open approval tasks, the most urgent first; `after` the one that is due at that time (ms), of that case."""
    query = (
        select(tasks, cases.c.workflow, cases.c.key, cases.c.input, cases.c.amended)
        .join(cases, cases.c.instance_id == tasks.c.instance_id)
        .where(tasks.c.state == "open")
        .order_by(tasks.c.due_at_ms, tasks.c.instance_id)
        .limit(limit)
    )
    if after is not None:
        due = tasks.c.due_at_ms
        query = query.where(or_(due > after[0], and_(due == after[0], tasks.c.instance_id > after[1])))
    found = []
    for row in tx.all(query):
        request = current_document(row)["request"]
        found.append(
            TaskView(
                case=row.instance_id,
                workflow=row.workflow,
                key=row.key,
                stage=row.stage,
                what=POLICIES[row.workflow].describe(request),
                assigned_to=row.assigned_to,
                requester=request.get("requester"),
                created_at=moment(row.created_at_ms),
                due_at=moment(row.due_at_ms),
            )
        )
    return found


def list_outbox(tx: Transaction, *, pending: bool = False, limit: int = 20) -> list[OutgoingView]:
    """What Sayso published or will publish, newest first."""
    query = select(outbox).order_by(outbox.c.seq.desc()).limit(limit)
    return [outgoing_view(row) for row in tx.all(query.where(outbox.c.published_at_ms.is_(None)) if pending else query)]
