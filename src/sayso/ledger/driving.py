"""Driving: which cases need an engine call, and what came of it.

In: cases that are due. Out: leased jobs with everything a call needs, and the transaction that records the answer. A case is leased
as a whole, so its events are raised by one dispatcher at a time, in ledger order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from sayso.contracts.approval_plan import ApprovalPlan
from sayso.contracts.catalog import DECISION_EVENTS
from sayso.contracts.engine_ids import engine_id
from sayso.contracts.workflow_io import RaisedEvent
from sayso.gate.seats import all_stages
from sayso.ledger.adopting import DIRECT, OPERATOR
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.planning import current_documents
from sayso.ledger.schema import cases, events
from sayso.ledger.statements import beside_case, lease
from sayso.ledger.states import EventState

STARTING, RUNNING = "starting", "running"


@dataclass(frozen=True)
class Job:
    """One leased case: start it if `start`, then raise `events` in order. The first `again` of them were used by an earlier run."""

    instance_id: str
    workflow: str
    key: str
    start: bool
    input: dict[str, Any]
    attempts: int
    events: tuple[RaisedEvent, ...]
    again: int = 0
    run: int = 1
    only_members_of: str | None = None
    """The group whose members alone may decide, when the case's plan says so."""
    seated: Mapping[str, tuple[str, ...]] | None = None
    """Group → who holds seats by it, when a policy's plan says who may decide and something is to be decided."""

    @property
    def engine_id(self) -> str:
        """The instance that the engine is asked about."""
        return engine_id(self.instance_id, self.run)


def lease_jobs(tx: Transaction, lease_ms: int, limit: int) -> list[Job]:
    """Lease due cases with their undelivered events."""
    values = {"now_ms": tx.now_ms, "until_ms": tx.now_ms + lease_ms, "max_rows": limit}
    leased = tx.all(_lease_cases(tx.dialect), values)
    if not leased:
        return []
    undelivered: dict[str, list[RaisedEvent]] = {row.instance_id: [] for row in leased}
    for row in tx.all(_undelivered(tx.dialect), {"instance_ids": list(undelivered)}):
        undelivered[row.instance_id].append(_raised(row))
    used = {row.instance_id: _used_before(tx, row) for row in leased}
    return [
        Job(
            row.instance_id,
            row.workflow,
            row.key,
            row.phase == STARTING,
            json.loads(row.input) if row.phase == STARTING else {},
            row.attempts,
            (*used[row.instance_id], *undelivered[row.instance_id]),
            len(used[row.instance_id]),
            row.run,
            *_who_may_decide(row, used[row.instance_id], undelivered[row.instance_id]),
        )
        for row in leased
    ]


def _who_may_decide(
    case: Row[Any], used: Sequence[RaisedEvent], undelivered: Sequence[RaisedEvent]
) -> tuple[str | None, dict[str, tuple[str, ...]] | None]:
    """`only_members_of` and `seated` of a job that brings a decision."""
    if not any(event.name in DECISION_EVENTS for event in (*used, *undelivered)):
        return None, None
    given = current_documents(case)
    plan = given[0]["plan"]
    is_new = any(event.name in DECISION_EVENTS for event in undelivered)
    group = str(plan["approver_group"]) if is_new and plan.get("approvers_only") else None
    return group, _seated([each["plan"].get("approval") for each in given])


def _seated(plans: Sequence[dict[str, Any] | None]) -> dict[str, tuple[str, ...]] | None:
    """By the plan that the case was opened with, which a run that begins anew has first, and by the one of today."""
    found: dict[str, dict[str, None]] = {}
    for plan in plans:
        for stage in all_stages(ApprovalPlan.model_validate(plan)) if plan is not None else ():
            for seat in stage.seats:
                if seat.member_of is not None:
                    found.setdefault(seat.member_of, {})[seat.holder] = None
    return {group: tuple(holders) for group, holders in found.items()} if plans[0] is not None else None


def _phase(job: Job) -> str:
    return STARTING if job.start else RUNNING


def _used_before(tx: Transaction, case: Row[Any]) -> list[RaisedEvent]:
    """What an instance that was lost had used; it comes first, so that the new run gets to where the lost one was.

    A start that is made once more, because nobody knows what came of the first, may follow a run that was lost as well.
    """
    raise_after = 0 if case.raise_after is None and case.phase == STARTING and case.attempts > 1 else case.raise_after
    if raise_after is None:
        return []
    rows = tx.all(
        _used_behind(tx.dialect), {"instance_ids": [case.instance_id, *_failed_before(tx, case)], "raise_after": raise_after}
    )
    return [_raised(row).model_copy(update={"again": True}) for row in rows]


def _failed_before(tx: Transaction, case: Row[Any]) -> list[str]:
    """The failed cases that this one goes on with (`rerunning.py`): what they had used is its own now."""
    found: list[str] = []
    before = case.rerun_of
    while before is not None and before not in found:
        found.append(before)
        row = tx.one(_RERUN_OF, {"instance_id": before})
        before = row.rerun_of if row is not None else None
    return found


def _raised(row: Row[Any]) -> RaisedEvent:
    return RaisedEvent(
        seq=row.seq,
        identity=row.identity,
        name=row.event_name,
        received_at=moment(row.received_at_ms) if row.topic != DIRECT else None,
        data=json.loads(row.payload),
        channel=row.topic if row.topic in (DIRECT, OPERATOR) else "topic",
    )


def settle(
    tx: Transaction, job: Job, *, started: bool, raised: Sequence[int], error: str | None, delay_ms: int, check_ms: int | None = None
) -> bool:
    """Record what the engine took. Returns whether the case is due again at once, because more events came meanwhile.

    The case's lock comes first: an event that is being bound to the case right now is either seen here, or makes the case due.
    A case that has closed meanwhile, or is to be started again, stays as it is. `check_ms` is when it is compared with the engine.
    """
    lock_case_key(tx, job.workflow, job.key)
    if raised:
        reason = f"raised to {job.instance_id}"
        tx.run(_MARK_DELIVERED, {"seqs": list(raised), "updated_at_ms": tx.now_ms, "reason": reason})
    values: dict[str, Any] = {"this_case": job.instance_id, "leased_in": _phase(job), "last_error": error and error[:500]}
    if error is None and len(raised) == len(job.events):
        values["raise_after"] = None
    elif job.again or (job.start and job.attempts > 1):  # an activity of a lost run may still use what was not raised
        values["raise_after"] = min((event.seq for event in job.events[len(raised) :] if event.seq is not None), default=1) - 1
    more = len(raised) < job.again or tx.one(_any_undelivered(tx.dialect), {"instance_id": job.instance_id}) is not None
    if error is not None:
        values["due_at_ms"] = tx.now_ms + delay_ms
    else:
        values |= {"due_at_ms": tx.now_ms if more else None, "attempts": 0}
    if started:
        values |= {"phase": RUNNING, "started_at_ms": tx.now_ms, "updated_at_ms": tx.now_ms}
    if check_ms is not None:
        values["check_at_ms"] = tx.now_ms + check_ms
    tx.run(_SETTLE_CASE, values)
    return more and error is None


_RAISABLE = select(
    events.c.seq,
    events.c.instance_id,
    events.c.identity,
    events.c.event_name,
    events.c.payload,
    events.c.received_at_ms,
    events.c.topic,
)
_RERUN_OF = select(cases.c.rerun_of).where(cases.c.instance_id == bindparam("instance_id"))
_MARK_DELIVERED = (
    update(events)
    .where(events.c.seq.in_(bindparam("seqs", expanding=True)), events.c.state == EventState.DELIVERING.value)
    .values(state=EventState.DELIVERED.value)
)
_SETTLE_CASE = update(cases).where(cases.c.instance_id == bindparam("this_case"), cases.c.phase == bindparam("leased_in"))


@cache
def _undelivered(dialect: str) -> Any:
    of_cases = events.c.instance_id.in_(bindparam("instance_ids", expanding=True))
    return _RAISABLE.where(of_cases, beside_case(dialect, events.c.state) == EventState.DELIVERING.value).order_by(events.c.seq)


@cache
def _any_undelivered(dialect: str) -> Any:
    of_case = events.c.instance_id == bindparam("instance_id")
    return select(events.c.seq).where(of_case, beside_case(dialect, events.c.state) == EventState.DELIVERING.value).limit(1)


@cache
def _used_behind(dialect: str) -> Any:
    return _RAISABLE.where(
        events.c.instance_id.in_(bindparam("instance_ids", expanding=True)),
        events.c.seq > bindparam("raise_after"),
        events.c.event_name.isnot(None),
        beside_case(dialect, events.c.state) == EventState.CONSUMED.value,
    ).order_by(events.c.seq)


@cache
def _lease_cases(dialect: str) -> Any:
    statement = lease(dialect, cases, identify_by=cases.c.instance_id, order_by=cases.c.due_at_ms)
    return statement.returning(
        cases.c.instance_id,
        cases.c.workflow,
        cases.c.key,
        cases.c.phase,
        cases.c.input,
        cases.c.attempts,
        cases.c.raise_after,
        cases.c.run,
        cases.c.rerun_of,
        cases.c.amended,
    )
