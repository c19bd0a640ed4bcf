"""Reconciling: what the ledger says of open cases, compared with what the engine says (ARCHITECTURE, invariant 11).

In: leased checks, and what the engine answered. Out: one transaction a finding, under the case's lock: nothing wrong, to be started
again, events to be raised again. Starting and raising stay the dispatcher's: a finding only makes the case due.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from sayso.contracts.engine_ids import engine_id
from sayso.ledger import audit
from sayso.ledger.act_rows import Act, add_act, is_asked
from sayso.ledger.alerts import alert
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.driving import RUNNING, STARTING
from sayso.ledger.event_rows import move
from sayso.ledger.outbox import moment
from sayso.ledger.restoring import restored_at_ms
from sayso.ledger.schema import cases, events
from sayso.ledger.statements import beside_case, locked, one_of
from sayso.ledger.states import EventState
from sayso.settings import ReconcilerSettings

SUSPENDED = "SUSPENDED"
SUSPICIOUS = frozenset({"STALLED", SUSPENDED})
"""States of an instance that lives and does not go on by itself."""


@dataclass(frozen=True)
class Check:
    """A leased case that is to be compared; `raised` are the identities that its instance must have seen by now.

    `whole`: the ledger was restored since it was compared last, so its instance may have done more than the ledger knows.
    """

    instance_id: str
    workflow: str
    key: str
    raised: frozenset[str]
    whole: bool = False
    run: int = 1

    @property
    def engine_id(self) -> str:
        """The instance that the engine is asked about."""
        return engine_id(self.instance_id, self.run)


def lease_checks(tx: Transaction, settings: ReconcilerSettings, lease_ms: int, limit: int) -> list[Check]:
    """Lease running cases whose comparison is due, the oldest first."""
    values = {"now_ms": tx.now_ms, "until_ms": tx.now_ms + lease_ms, "max_rows": limit}
    leased = tx.all(_lease(tx.dialect), values)
    raised: dict[str, set[str]] = {row.instance_id: set() for row in leased}
    restored = restored_at_ms(tx) if leased else None
    seen_by = tx.now_ms - _ms(settings.unseen_after)
    for row in tx.all(_raised(tx.dialect), {"instance_ids": list(raised), "seen_by": seen_by}) if leased else ():
        raised[row.instance_id].add(row.identity)
    return [
        Check(
            row.instance_id,
            row.workflow,
            row.key,
            frozenset(raised[row.instance_id]),
            restored is not None and max(row.opened_at_ms, row.checked_at_ms or 0) < restored,
            row.run,
        )
        for row in leased
    ]


def found_running(tx: Transaction, check: Check, settings: ReconcilerSettings, status: str, seen: Collection[str]) -> int:
    """The engine has it, in `status`; `seen` are the identities in its history. Returns how many events are raised again."""
    case = locked_case(tx, check)
    if case is None:
        return 0
    missing = _raise_again(tx, case, check.raised - set(seen)) if status == RUNNING.upper() else 0
    if status == RUNNING.upper():
        _suspend_again(tx, case)
    finding = f"{status.lower()} in the engine" if status in SUSPICIOUS and not _as_asked(tx, case, status) else None
    if finding is not None and finding != case.finding:
        reason = f"{check.instance_id} is {finding}: it does not go on by itself"
        alert(
            tx, f"case-{status.lower()}", occurrence=f"{check.instance_id}:{tx.now_ms}", reason=reason, instance_id=check.instance_id
        )
        audit.record(tx, "case-found", instance_id=check.instance_id, channel="reconciler", finding=finding)
    _schedule(tx, case, settings, absent_since_ms=None, finding=finding, checked_at_ms=tx.now_ms)
    return missing


def _as_asked(tx: Transaction, case: Row[Any], status: str) -> bool:
    """Whether it is suspended because somebody asked for it, or is just being suspended or resumed."""
    return status == SUSPENDED and (case.suspended_at_ms is not None or is_asked(tx, case.instance_id))


def _suspend_again(tx: Transaction, case: Row[Any]) -> None:
    """It runs although it is to be suspended: the engine had lost it, or somebody resumed it past the ledger."""
    if case.suspended_at_ms is not None and not is_asked(tx, case.instance_id):
        add_act(tx, Act.SUSPEND, case.instance_id, reason="it is to be suspended, and was running")


def found_absent(tx: Transaction, check: Check, settings: ReconcilerSettings) -> bool:
    """The engine does not know it. The second time, long enough after the first, it is started again: whether that is so."""
    case = locked_case(tx, check)
    if case is None or not _has_waited(tx, case, settings, settings.absence):
        return False
    _start_again(tx, case, "the engine had lost the instance")
    return True


def found_unreadable(tx: Transaction, check: Check, settings: ReconcilerSettings) -> bool:
    """The engine has something of it that it cannot read. If that stays so, the next run begins under an id of its own."""
    case = locked_case(tx, check)
    if case is None or not _has_waited(tx, case, settings, settings.stuck_after):
        return False
    _start_again(tx, case, "the engine could not read the instance any more", run=case.run + 1)
    return True


def found_stuck(tx: Transaction, check: Check, activity: str) -> bool:
    """The instance was ended, because it waits for an answer that the engine has lost: the next run begins, under an id of its own."""
    case = locked_case(tx, check)
    if case is None:
        return False
    reason = f"{check.engine_id} waited for {activity}, whose answer the engine had lost; it was ended, and is started again"
    alert(tx, "case-stuck", occurrence=f"{check.instance_id}:{tx.now_ms}", reason=reason, instance_id=check.instance_id)
    audit.record(tx, "case-stuck", instance_id=check.instance_id, channel="reconciler", activity=activity)
    _start_again(tx, case, f"the engine had lost the answer of {activity}", run=case.run + 1)
    return True


def _has_waited(tx: Transaction, case: Row[Any], settings: ReconcilerSettings, span: timedelta) -> bool:
    """Whether it has been so for that long; else it is looked at again soon."""
    since = case.absent_since_ms if case.absent_since_ms is not None else tx.now_ms
    left_ms = since + _ms(span) - tx.now_ms
    if left_ms > 0:
        check_at_ms = tx.now_ms + min(left_ms, _ms(settings.absence))
        tx.run(_UPDATE_CASE, {"this_case": case.instance_id, "absent_since_ms": since, "check_at_ms": check_at_ms})
    return left_ms <= 0


def postpone_check(tx: Transaction, check: Check, delay_ms: int) -> None:
    """The engine did not answer: an error is not an absence."""
    tx.run(_POSTPONE, {"this_case": check.instance_id, "check_at_ms": tx.now_ms + delay_ms})


def check_all_soon(tx: Transaction) -> None:
    """One instance was lost, so others may be: compare every running case now."""
    tx.run(_CHECK_ALL, {"now_ms": tx.now_ms})


def _start_again(tx: Transaction, case: Row[Any], why: str, *, run: int | None = None) -> None:
    """The driver starts it, with its first input, and raises what the lost instance had used, then the rest.

    Under the same id when the engine has nothing under it; else as the next run, because what is left would spoil it.
    """
    for event in tx.all(_of_case(tx.dialect), {"instance_id": case.instance_id, "state": EventState.DELIVERED.value}):
        move(tx, event, EventState.DELIVERING, f"{why}, raised again")
    values = {
        "this_case": case.instance_id,
        "phase": STARTING,
        "attempts": 1,  # so that the driver asks for the instance first: nobody may run an instance that has ended once more
        "due_at_ms": tx.now_ms,
        "check_at_ms": None,
        "absent_since_ms": None,
        "run": run or case.run,
        "raise_after": 0,  # also when it has used nothing yet: an activity of the lost run may still be at work
        "finding": f"{why}, started again at {moment(tx.now_ms):%Y-%m-%d %H:%M:%S} UTC",
    }
    tx.run(_UPDATE_CASE, values)
    _suspend_again(tx, case)
    reason = f"{case.instance_id}: {why}; it is started again and gets its events again"
    alert(tx, "case-restarted", occurrence=f"{case.instance_id}:{tx.now_ms}", reason=reason, instance_id=case.instance_id)
    audit.record(tx, "case-restarted", instance_id=case.instance_id, channel="reconciler", reason=why)


def _raise_again(tx: Transaction, case: Row[Any], missing: Collection[str]) -> int:
    """What the workflow does not have although it was raised: used ones too, when the engine was put back to an earlier state."""
    if not missing or case.due_at_ms is not None:
        return 0  # it is being driven just now: looked at again next time
    rows = [row for row in tx.all(_of_identities(tx.dialect), {"identities": list(missing)}) if row.instance_id == case.instance_id]
    used = [row.seq for row in rows if row.state == EventState.CONSUMED]
    unused = [row for row in rows if row.state == EventState.DELIVERED]
    for row in unused:
        move(tx, row, EventState.DELIVERING, f"not in the history of {case.instance_id}, raised again")
    numbers = sorted([*used, *(row.seq for row in unused)])
    if numbers:
        values = {"raise_after": min(used) - 1} if used else {}
        tx.run(_UPDATE_CASE, {"this_case": case.instance_id, "due_at_ms": tx.now_ms, **values})
        audit.record(tx, "events-raised-again", instance_id=case.instance_id, channel="reconciler", events=numbers)
    return len(numbers)


def locked_case(tx: Transaction, check: Check) -> Row[Any] | None:
    """The case under its lock, if it still runs."""
    lock_case_key(tx, check.workflow, check.key)
    case = tx.one(_CASE, {"instance_id": check.instance_id})
    return case if case is not None and case.phase == RUNNING else None


def _schedule(tx: Transaction, case: Row[Any], settings: ReconcilerSettings, **values: Any) -> None:
    """The older a case, the longer until it is looked at again."""
    age_ms = tx.now_ms - case.opened_at_ms
    pause_ms = min(max(age_ms // 2, _ms(settings.check_interval)), _ms(settings.check_interval_max))
    tx.run(_UPDATE_CASE, {"this_case": case.instance_id, "check_at_ms": tx.now_ms + pause_ms, **values})


def _ms(span: Any) -> int:
    return int(span.total_seconds() * 1000)


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_UPDATE_CASE = update(cases).where(cases.c.instance_id == bindparam("this_case"))
_POSTPONE = _UPDATE_CASE.where(cases.c.check_at_ms.isnot(None))
_CHECK_ALL = (
    update(cases).where(cases.c.phase == RUNNING, cases.c.check_at_ms > bindparam("now_ms")).values(check_at_ms=bindparam("now_ms"))
)


@cache
def _raised(dialect: str) -> Any:
    return select(events.c.instance_id, events.c.identity).where(
        events.c.instance_id.in_(bindparam("instance_ids", expanding=True)),
        events.c.event_name.isnot(None),
        beside_case(dialect, events.c.state).in_([EventState.DELIVERED.value, EventState.CONSUMED.value]),
        events.c.updated_at_ms <= bindparam("seen_by"),
    )


@cache
def _of_case(dialect: str) -> Any:
    query = select(events).where(
        events.c.instance_id == bindparam("instance_id"), beside_case(dialect, events.c.state) == bindparam("state")
    )
    return locked(dialect, query.order_by(events.c.seq))


@cache
def _of_identities(dialect: str) -> Any:
    return locked(dialect, select(events).where(events.c.identity.in_(bindparam("identities", expanding=True))))


@cache
def _lease(dialect: str) -> Any:
    """As `statements.lease`, for the other schedule of a case."""
    due = select(cases.c.instance_id).where(cases.c.check_at_ms <= bindparam("now_ms"), cases.c.phase == RUNNING)
    due = due.order_by(cases.c.check_at_ms).limit(bindparam("max_rows"))
    chosen = one_of(dialect, cases.c.instance_id, locked(dialect, due, skip_locked=True))
    statement = update(cases).where(chosen).values(check_at_ms=bindparam("until_ms"))
    return statement.returning(
        cases.c.instance_id, cases.c.workflow, cases.c.key, cases.c.opened_at_ms, cases.c.checked_at_ms, cases.c.run
    )
