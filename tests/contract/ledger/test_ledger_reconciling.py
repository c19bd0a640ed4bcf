"""Reconciling: a comparison is leased, made ever less often, and changes only cases that still run."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from ledger_world import World
from sqlalchemy import text

from sayso.ledger import Ledger
from sayso.ledger.driving import settle
from sayso.ledger.reconciling import Check, check_all_soon, found_absent, found_running, lease_checks, postpone_check
from sayso.ledger.schema import cases
from sayso.settings import ReconcilerSettings

SETTINGS = ReconcilerSettings()
MINUTE_MS = 60_000
LEASE_MS = 60_000


@pytest.fixture
def running(world: World) -> World:
    """A case that runs and has one decision delivered, both an hour ago, and whose comparison is due."""
    world.buy()
    world.decide()
    world.drive()
    hour = 60 * MINUTE_MS
    world.change(cases, check_at_ms=cases.c.updated_at_ms, opened_at_ms=cases.c.opened_at_ms - hour)
    return world


def lease(world: World) -> list[Check]:
    settings = SETTINGS.model_copy(update={"unseen_after": timedelta(0)})
    return world.ledger.transact(partial(lease_checks, settings=settings, lease_ms=LEASE_MS, limit=10))


def running_in_the_engine(world: World, check: Check, *seen: str, status: str = "RUNNING") -> int:
    return world.ledger.transact(partial(found_running, check=check, settings=SETTINGS, status=status, seen=seen))


def absent(world: World, check: Check) -> bool:
    return world.ledger.transact(partial(found_absent, check=check, settings=SETTINGS))


def test_a_comparison_is_leased_once(running: World) -> None:
    (check,) = lease(running)
    assert check.raised == {running.events[-1].identity}
    assert lease(running) == []
    running.ledger.transact(partial(postpone_check, check=check, delay_ms=0))
    assert lease(running) == [check]


def test_the_older_a_case_the_less_often_it_is_looked_at(running: World) -> None:
    pauses = []
    for age in (timedelta(0), timedelta(hours=1), timedelta(days=30)):
        age_ms = int(age.total_seconds() * 1000)
        running.ledger.transact(
            lambda tx, age_ms=age_ms: tx.run(cases.update().values(check_at_ms=tx.now_ms, opened_at_ms=tx.now_ms - age_ms))
        )
        (check,) = lease(running)
        running_in_the_engine(running, check, *check.raised)
        case = running.case
        pauses.append(round((case.check_at_ms - case.checked_at_ms) / MINUTE_MS))
    assert pauses == [5, 30, 60]


def test_an_absence_must_last_before_the_case_is_started_again(running: World) -> None:
    (check,) = lease(running)
    assert not absent(running, check)
    assert not absent(running, check)
    assert running.case.phase == "running"
    assert running.case.check_at_ms - running.case.absent_since_ms == MINUTE_MS
    running.change(cases, absent_since_ms=cases.c.absent_since_ms - MINUTE_MS)
    assert absent(running, check)
    case = running.case
    assert (case.phase, case.check_at_ms, case.absent_since_ms) == ("starting", None, None)
    assert running.states == ["started", "delivering"]
    assert not absent(running, check)
    (job,) = running.lease()
    assert (job.start, job.attempts, [event.seq for event in job.events]) == (True, 2, [2])


def test_a_moment_of_presence_ends_an_absence(running: World) -> None:
    (check,) = lease(running)
    absent(running, check)
    running_in_the_engine(running, check, *check.raised)
    assert running.case.absent_since_ms is None


def test_a_case_that_has_ended_meanwhile_is_left_alone(running: World) -> None:
    (check,) = lease(running)
    running.change(cases, absent_since_ms=1)
    running.close()
    before = running.case
    assert before.check_at_ms is None
    assert not absent(running, check)
    assert running_in_the_engine(running, check) == 0
    running.ledger.transact(partial(postpone_check, check=check, delay_ms=0))
    running.ledger.transact(check_all_soon)
    assert (running.case, lease(running)) == (before, [])


def test_a_dispatcher_that_comes_late_does_not_undo_a_new_start(running: World) -> None:
    """It had leased the case while it ran; its answer is about the run that is lost."""
    running.pay()
    (late,) = running.lease()
    (check,) = lease(running)
    running.change(cases, absent_since_ms=1)
    assert absent(running, check)
    seqs = [event.seq or 0 for event in late.events]
    running.ledger.transact(partial(settle, job=late, started=False, raised=seqs, error=None, delay_ms=0))
    (job,) = running.lease()
    assert job.start


def test_what_the_lost_run_used_is_raised_first_and_only_once(running: World) -> None:
    running.step("place_order", used=[2])
    running.pay()
    running.drive()
    running.decide()
    running.decide()
    running.change(cases, check_at_ms=1, absent_since_ms=1)
    (check,) = lease(running)
    assert absent(running, check)
    (job,) = running.lease()
    assert ([event.seq for event in job.events], job.again) == ([2, 3, 4, 5], 1)
    running.settle(job, error="no answer", raised=0)
    (job,) = running.lease()
    assert [event.seq for event in job.events] == [2, 3, 4, 5]
    running.settle(job, raised=2)
    (job,) = running.lease()
    assert ([event.seq for event in job.events], job.start) == ([4, 5], False)
    running.settle(job)
    assert running.states == ["started", "consumed", "delivered", "delivered", "delivered"]
    assert running.case.raise_after is None


def test_an_event_is_raised_again_only_if_the_history_does_not_have_it(running: World) -> None:
    (check,) = lease(running)
    assert running_in_the_engine(running, check, *check.raised) == 0
    assert running.lease() == []
    assert running_in_the_engine(running, check, status="STALLED") == 0
    assert running_in_the_engine(running, check) == 1
    assert running.states == ["started", "delivering"]
    assert running_in_the_engine(running, check) == 0
    (job,) = running.lease()
    assert [event.seq for event in job.events] == [2]
    assert (job.start, running_in_the_engine(running, check)) == (False, 0)


def test_the_schedule_is_read_from_its_index(ledger: Ledger) -> None:
    """10,000 waiting cases must not be read to find the one that is due."""
    query = "SELECT instance_id FROM cases WHERE check_at_ms <= 5 AND phase = 'running' ORDER BY check_at_ms LIMIT 16"
    with ledger.engine.connect() as connection:
        if ledger.dialect == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        explained = "EXPLAIN QUERY PLAN " if ledger.dialect == "sqlite" else "EXPLAIN "
        plan = " ".join(str(row) for row in connection.execute(text(explained + query)))
    assert "ix_cases_check" in plan
