"""Driving: a case is leased to one dispatcher at a time, its events in ledger order, and nothing is forgotten between two of them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from ledger_world import World, cloudevent, purchase
from sqlalchemy import text

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import Closing, StepInput
from sayso.correlation.correlate import correlate
from sayso.ledger import Ledger, Transaction
from sayso.ledger.driving import lease_jobs, settle
from sayso.ledger.outbox import lease_outgoing
from sayso.ledger.routing import route
from sayso.ledger.schema import cases, events
from sayso.ledger.steps import complete_step

WAIT_SECONDS = 60.0


@pytest.fixture
def second(ledger: Ledger) -> Any:
    """Another dispatcher's ledger on the same database."""
    other = Ledger(ledger.url)
    yield other
    other.close()


def test_a_new_case_is_started_then_its_events_are_raised_in_ledger_order(world: World) -> None:
    world.pay()
    world.decide()
    world.buy()
    (job,) = world.lease()
    assert (job.start, job.attempts, job.workflow) == (True, 1, "purchase_order_workflow")
    assert job.input["case"]["instance_id"] == job.instance_id == world.case.instance_id
    assert [event.name for event in job.events] == ["payment_received", "approval_received"]
    assert [event.identity for event in job.events] == [row.identity for row in world.events[:2]]
    assert job.events[1].data["approver"] == "bob"
    assert world.settle(job) is False
    case = world.case
    assert (case.phase, case.due_at_ms, case.attempts, case.last_error) == ("running", None, 0, None)
    assert world.states == ["delivered", "delivered", "started"]
    assert world.events[0].reason == f"raised to {case.instance_id}"
    assert world.lease() == []


def test_a_case_that_runs_is_not_started_again(world: World) -> None:
    world.buy()
    world.drive()
    world.decide()
    (job,) = world.lease()
    assert (job.start, job.input, len(job.events)) == (False, {}, 1)


def test_an_event_that_comes_while_its_case_is_leased_makes_it_due_again(world: World) -> None:
    world.buy()
    (job,) = world.lease()
    assert world.decide() == "delivering"
    assert world.lease() == [], "the case is in another's hands"
    assert world.settle(job) is True
    (again,) = world.lease()
    assert (again.start, [event.name for event in again.events]) == (False, ["approval_received"])


def test_a_failed_call_is_tried_again_later_and_says_why(world: World) -> None:
    world.buy()
    (job,) = world.lease()
    assert world.settle(job, error="no worker is connected", raised=0, delay_ms=60_000) is False
    assert (world.case.last_error, world.lease()) == ("no worker is connected", [])
    world.let_time_pass(timedelta(minutes=1))
    (again,) = world.lease()
    assert (again.attempts, again.instance_id) == (2, job.instance_id)


def test_after_a_failure_in_the_middle_only_the_rest_is_raised_again(world: World) -> None:
    for _ in range(3):
        world.decide()
    world.buy()
    (job,) = world.lease()
    world.settle(job, error="gone", raised=1)
    assert world.states == ["delivered", "delivering", "delivering", "started"]
    (again,) = world.lease()
    assert [event.seq for event in again.events] == [event.seq for event in job.events[1:]]


def test_the_lease_of_a_dispatcher_that_died_runs_out_and_the_case_comes_back(world: World) -> None:
    world.buy()
    (job,) = world.lease(lease_ms=20_000)
    assert world.lease() == []
    world.let_time_pass(timedelta(seconds=20))
    (again,) = world.lease()
    assert (again.instance_id, again.start, again.attempts) == (job.instance_id, True, 2)


def test_a_slow_dispatcher_that_settles_after_the_case_has_ended_changes_nothing(world: World) -> None:
    world.buy()
    world.drive()
    world.decide()
    (job,) = world.lease()
    world.close("rejected")
    before = (world.case, world.states)
    world.settle(job)
    world.settle(job, error="gone")
    assert (world.case, world.states) == before
    assert world.lease() == []


def test_an_event_consumed_before_its_raise_was_recorded_stays_consumed(world: World) -> None:
    world.buy()
    world.drive()
    world.decide()
    (job,) = world.lease()
    world.step("place_order", used=[job.events[0].seq or 0])
    world.settle(job)
    assert world.states == ["started", "consumed"]


def test_what_a_run_used_that_was_lost_before_its_start_was_known_comes_first_to_the_next(world: World) -> None:
    world.decide()
    world.decide(approver="carol", approved=False)
    world.buy()
    (first,) = world.lease(lease_ms=0)
    approval, rejection = (event.seq or 0 for event in first.events)
    world.step("place_order", used=[rejection])
    (second,) = world.lease(lease_ms=0)
    assert second.start
    assert [(event.seq, event.again) for event in second.events] == [(rejection, True), (approval, False)]
    assert world.settle(second, error="no answer", raised=0) is False
    world.step("close_to_the_end", used=[approval])
    (third,) = world.lease(lease_ms=0)
    assert [(event.seq, event.again) for event in third.events] == [(approval, True), (rejection, True)]
    world.settle(third)
    assert world.lease() == []


def test_no_row_is_leased_to_two_dispatchers(world: World, second: Ledger) -> None:
    for number in range(60):
        world.receive("purchases", cloudevent("com.acme.purchase.requested.v1", purchase(f"PO-{number}")))
    world.route()
    start = threading.Barrier(4)

    def lease_all(ledger: Ledger, lease: Any) -> list[Any]:
        start.wait(WAIT_SECONDS)
        mine: list[Any] = []
        while batch := ledger.transact(partial(lease, lease_ms=60_000, limit=7)):
            assert len(batch) <= 7
            mine += batch
        return mine

    with ThreadPoolExecutor(4) as pool:
        job_lists = [pool.submit(lease_all, ledger, lease_jobs) for ledger in (world.ledger, second)]
        row_lists = [pool.submit(lease_all, ledger, lease_outgoing) for ledger in (world.ledger, second)]
        jobs = [job.instance_id for jobs in job_lists for job in jobs.result(WAIT_SECONDS)]
        rows = [row.seq for rows in row_lists for row in rows.result(WAIT_SECONDS)]
    assert (len(jobs), len(set(jobs))) == (60, 60)
    assert (len(rows), len(set(rows))) == (60, 60)


class Paused:
    """A transaction that has done its work and holds its locks until `finish`."""

    def __init__(self, ledger: Ledger, pool: ThreadPoolExecutor, work: Any) -> None:
        self._ledger = ledger
        self._worked, self._finish = threading.Event(), threading.Event()
        self.answer: Future[Any] = pool.submit(ledger.transact, partial(self._pause, work))
        assert self._worked.wait(WAIT_SECONDS), self.answer.exception(0)

    def _pause(self, work: Any, tx: Transaction) -> Any:
        answer = work(tx)
        self._worked.set()
        assert self._finish.wait(WAIT_SECONDS)
        return answer

    def finish(self, other: Future[Any]) -> Any:
        """Commit, as soon as the other transaction has done all that it can do meanwhile."""
        until = time.monotonic() + WAIT_SECONDS
        while not other.done() and not self._ledger.read(_somebody_waits_for_a_lock):
            assert time.monotonic() < until
            time.sleep(0.01)
        self._finish.set()
        return self.answer.result(WAIT_SECONDS)


def _somebody_waits_for_a_lock(tx: Transaction) -> bool:
    """SQLite lets nobody in who wants to write."""
    if tx.dialect == "sqlite":
        return True
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return tx.one(text(query)) is not None


def routing_of(world: World, kind: str, topic: str, data: dict[str, Any]) -> Any:
    """The work that routes a new event, not done yet."""
    original = cloudevent(kind, data)
    world.receive(topic, original)
    verdict = correlate(world.bindings, topic, original)
    return partial(route, seq=world.events[-1].seq, verdict=verdict, rules=world.rules)


DECIDED = ("sayso.approval.decided.v1", "approvals", {"order_id": "PO-1", "approver": "bob"})


@pytest.mark.parametrize("first", ["route", "settle"])
def test_an_event_bound_while_its_case_is_settled_is_never_forgotten(world: World, second: Ledger, first: str) -> None:
    world.buy()
    (job,) = world.lease()
    works = {
        "route": routing_of(world, *DECIDED),
        "settle": partial(settle, job=job, started=True, raised=[], error=None, delay_ms=0),
    }
    with ThreadPoolExecutor(2) as pool:
        paused = Paused(world.ledger, pool, works.pop(first))
        other = pool.submit(second.transact, next(iter(works.values())))
        paused.finish(other)
        other.result(WAIT_SECONDS)
    assert world.states == ["started", "delivering"]
    (again,) = world.lease()
    assert [event.name for event in again.events] == ["approval_received"]


@pytest.mark.parametrize("first", ["deliver", "close"])
def test_an_event_that_meets_the_end_of_its_case_is_unclaimed_or_late_but_never_lost(world: World, second: Ledger, first: str) -> None:
    world.buy()
    world.drive()
    closing = Closing(outcome=Outcome.REJECTED, result="no")
    step = StepInput(case=world.ref, step="close_case", closing=closing)
    works = {
        "deliver": routing_of(world, *DECIDED),
        "close": partial(complete_step, step=step, result={}),
    }
    with ThreadPoolExecutor(2) as pool:
        paused = Paused(world.ledger, pool, works.pop(first))
        other = pool.submit(second.transact, next(iter(works.values())))
        paused.finish(other)
        other.result(WAIT_SECONDS)
    expected = "unclaimed" if first == "deliver" else "late"
    assert world.states == ["started", expected]
    assert [letter["state"] for letter in world.dead_letters] == [expected]
    assert (world.case.phase, world.case.due_at_ms) == ("closed", None)


def test_two_replicas_that_route_the_same_purchase_open_one_case(world: World, second: Ledger) -> None:
    works = [routing_of(world, "com.acme.purchase.requested.v1", "purchases", purchase()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        paused = Paused(world.ledger, pool, works[0])
        other = pool.submit(second.transact, works[1])
        assert paused.finish(other) == "started"
        assert other.result(WAIT_SECONDS) == "refused"
    assert len(world.rows(cases)) == 1


@pytest.mark.parametrize("same_row", [True, False])
def test_two_replicas_that_route_the_same_event_use_it_once(world: World, second: Ledger, same_row: bool) -> None:
    world.receive("purchases", cloudevent("com.acme.purchase.requested.v1", purchase(), "one"))
    if not same_row:
        world.receive("purchases", cloudevent("com.acme.purchase.requested.v1", purchase(), "one", traceid="x"))
    works = [
        partial(route, seq=row.seq, verdict=correlate(world.bindings, "purchases", bytes(row.original)), rules=world.rules)
        for row in (world.events * 2)[:2]
    ]
    with ThreadPoolExecutor(2) as pool:
        paused = Paused(world.ledger, pool, works[0])
        other = pool.submit(second.transact, works[1])
        assert paused.finish(other) == "started"
        assert other.result(WAIT_SECONDS) is None
    assert (world.states, world.events[0].sightings) == (["started"], 1 if same_row else 2)


def test_a_storm_on_two_replicas_loses_and_doubles_nothing(world: World, second: Ledger) -> None:
    """40 decisions and then their purchases, each received twice, routed and driven by eight threads on two replicas."""
    replicas = [world, World(second)]
    originals = [
        (topic, cloudevent(kind, data, f"{kind}-{number}"))
        for number in range(40)
        for topic, kind, data in (
            ("approvals", "sayso.approval.decided.v1", {"order_id": f"PO-{number}", "approver": "bob"}),
            ("purchases", "com.acme.purchase.requested.v1", purchase(f"PO-{number}")),
        )
    ]

    def storm(number: int) -> None:
        replica = replicas[number % 2]
        for topic, original in originals[number % 4 :: 4]:
            replica.receive(topic, original)
            replica.route()
            replica.drive()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(storm, range(8)))
    world.route()
    world.drive()
    world.drive()
    rows = world.rows(events)
    assert sorted(row.state for row in rows) == ["delivered"] * 40 + ["started"] * 40
    assert {row.sightings for row in rows} == {2}
    found = world.rows(cases)
    assert len(found) == 40
    assert {(case.phase, case.due_at_ms) for case in found} == {("running", None)}
