"""The ledger's health in numbers: what waits, since when, what failed, what is past its deadline.

In: a reading transaction. Out: `Health`, for `sayso status`, `/metrics` and the alarms alike. Each number is found by an index over
what is unfinished; only the counts of finished events grow with the ledger, so who asks often asks for them seldom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, cast, func, select, type_coerce

from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.queries.cases import PAYMENT_BEGINS, PAYMENT_STAGE
from sayso.ledger.schema import cases, events, ledger_info, notices, outbox, steps, tasks
from sayso.ledger.states import FAILED, EventState

FINISHED = frozenset({EventState.STARTED, EventState.RECORDED, EventState.CONSUMED, EventState.DEAD})
HOUR_MS = 3_600_000
ALARM_PREFIX = "alarm:"
ALERTS_TOPIC = "alerts"


@dataclass(frozen=True)
class Waiting:
    """Rows that are still to be worked off: how many, and since when the oldest waits."""

    rows: int
    since: datetime | None

    def seconds(self, now: datetime) -> float:
        """The age of the oldest; 0 when nothing waits."""
        return max((now - self.since).total_seconds(), 0.0) if self.since is not None else 0.0


@dataclass(frozen=True)
class Health:
    """All of it at one moment. `events` counts unfinished and failed events by state."""

    at: datetime
    received: int
    events: dict[str, int]
    undispatched: Waiting
    outbox: Waiting
    notices: Waiting
    cases_open: dict[tuple[str, str], int]
    cases_in_trouble: int
    cases_overdue: int
    failed_last_hour: int
    alarms: dict[str, datetime]


def health(tx: Transaction, overdue_after: timedelta = timedelta(0)) -> Health:
    """Look at everything that is unfinished. `received` is the number of the latest event."""
    unfinished = [state.value for state in EventState if state not in FINISHED]
    failed_lately = _FAILED_SINCE.where(events.c.updated_at_ms >= tx.now_ms - HOUR_MS)
    in_trouble = select(func.count()).select_from(cases).where(cases.c.phase != "closed", cases.c.last_error.isnot(None))
    return Health(
        at=moment(tx.now_ms),
        received=_number(tx, select(func.max(events.c.seq))),
        events=_by_state(tx, unfinished),
        undispatched=_undispatched(tx),
        outbox=_waiting(tx, outbox.c.created_at_ms, outbox.c.due_at_ms.isnot(None)),
        notices=_waiting(tx, notices.c.created_at_ms, notices.c.due_at_ms.isnot(None)),
        cases_open=_open_cases(tx),
        cases_in_trouble=_number(tx, in_trouble),
        cases_overdue=count_overdue(tx, overdue_after),
        failed_last_hour=_number(tx, failed_lately),
        alarms=alarms_raised(tx),
    )


def finished_events(tx: Transaction) -> dict[str, int]:
    """Counts of finished events by state; its cost grows with the ledger."""
    return _by_state(tx, [state.value for state in FINISHED])


def alarms_raised(tx: Transaction) -> dict[str, datetime]:
    """The alarms that are raised now, and since when."""
    rows = tx.all(select(ledger_info).where(ledger_info.c.name.startswith(ALARM_PREFIX, autoescape=True), ledger_info.c.value != ""))
    return {row.name.removeprefix(ALARM_PREFIX): moment(int(row.value)) for row in rows}


def alerts_since(tx: Transaction, span: timedelta) -> dict[str, int]:
    """How many alerts of each kind were raised within the last `span`, the reconciler's findings among them."""
    since_ms = tx.now_ms - round(span.total_seconds() * 1000)
    query = select(outbox.c.event_id).where(outbox.c.topic == ALERTS_TOPIC, outbox.c.created_at_ms >= since_ms)
    return dict(sorted(Counter(row.event_id.split(":")[1] for row in tx.all(query)).items()))


def count_overdue(tx: Transaction, after: timedelta) -> int:
    """Open cases whose decision or payment should have come, or timed out, longer than `after` ago."""
    limit_ms = tx.now_ms - round(after.total_seconds() * 1000)
    late_tasks = select(func.count()).select_from(tasks).where(tasks.c.state == "open", tasks.c.due_at_ms < limit_ms)
    since = select(steps.c.done_at_ms).where(steps.c.instance_id == cases.c.instance_id, steps.c.step == PAYMENT_BEGINS)
    paid_until_ms = func.coalesce(since.limit(1).scalar_subquery(), tx.now_ms) + _payment_seconds(tx.dialect) * 1000
    open_cases = select(func.count()).select_from(cases).where(cases.c.phase != "closed", cases.c.stage == PAYMENT_STAGE)
    late_payments = open_cases.where(paid_until_ms < limit_ms)
    return _number(tx, late_tasks) + _number(tx, late_payments)


def _payment_seconds(dialect: str) -> ColumnElement[Any]:
    """From the plan in the case's input; the two databases read JSON in text differently."""
    document: Any = type_coerce(cases.c.input, JSON) if dialect == "sqlite" else cast(cases.c.input, JSON)
    seconds: ColumnElement[Any] = document[("plan", "payment_timeout_seconds")].as_float()
    return seconds


def _undispatched(tx: Transaction) -> Waiting:
    """Events that nobody has looked at, or that the engine has not got, and cases that it has not started."""
    found = [
        _waiting(tx, events.c.received_at_ms, events.c.state == EventState.RECEIVED.value),
        _waiting(tx, events.c.updated_at_ms, events.c.state == EventState.DELIVERING.value),
        _waiting(tx, cases.c.opened_at_ms, cases.c.due_at_ms.isnot(None), cases.c.phase == "starting"),
    ]
    return Waiting(sum(each.rows for each in found), min((each.since for each in found if each.since), default=None))


def _waiting(tx: Transaction, since: ColumnElement[int], *conditions: ColumnElement[bool]) -> Waiting:
    row = tx.one(select(func.count().label("rows"), func.min(since).label("since_ms")).where(*conditions))
    assert row is not None  # an aggregate has one row
    return Waiting(int(row.rows), moment(row.since_ms) if row.since_ms is not None else None)


def _by_state(tx: Transaction, states: Iterable[str]) -> dict[str, int]:
    names = sorted(states)
    query = select(events.c.state, func.count().label("rows")).where(events.c.state.in_(names)).group_by(events.c.state)
    counts = {row.state: int(row.rows) for row in tx.all(query)}
    return {state: counts.get(state, 0) for state in names}


def _open_cases(tx: Transaction) -> dict[tuple[str, str], int]:
    query = select(cases.c.workflow, cases.c.phase, func.count().label("rows")).where(cases.c.phase != "closed")
    return {(row.workflow, row.phase): int(row.rows) for row in tx.all(query.group_by(cases.c.workflow, cases.c.phase))}


def _number(tx: Transaction, query: Select[Any]) -> int:
    row = tx.one(query)
    return int(row[0] or 0) if row is not None else 0


_FAILED_SINCE = select(func.count()).select_from(events).where(events.c.state.in_([state.value for state in FAILED]))
