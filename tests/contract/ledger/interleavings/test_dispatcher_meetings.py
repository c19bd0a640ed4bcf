"""Two dispatchers, and a dispatcher that lets go of a case while an event is bound to it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from ledger_world import DECISION, World, cloudevent
from meetings import WITHOUT_CASE_LOCK, WITHOUT_LEASE_LOCK, Meeting, Table, begin_anew, nothing_forgotten, routing, through
from two_connections import Acts, Outcome

from sayso.ledger.outbox import lease_notices, lease_outgoing

KEYS = ("PO-1", "PO-2", "PO-3")


def leasing(world: World) -> Acts:
    return through(world, lambda side: [job.instance_id for job in side.lease()])


def driving(world: World) -> Acts:
    return through(world, lambda side: side.drive())


def decision_comes(world: World) -> None:
    world.receive("approvals", cloudevent(DECISION, {"order_id": "PO-1", "approver": "bob"}))


# Lease and lease.


def three_due(world: World) -> None:
    begin_anew(world)
    for key in KEYS:
        world.buy(key)


def two_leases(world: World) -> tuple[Acts, Acts]:
    three_due(world)
    return leasing(world), leasing(world)


def rows_leased_by(lease: Any) -> Any:
    def prepare(world: World) -> tuple[Acts, Acts]:
        three_due(world)
        act = through(world, lambda side: [row.seq for row in side.ledger.transact(partial(lease, lease_ms=60_000, limit=2))])
        return act, act

    return prepare


def nothing_is_leased_twice(_world: World, outcome: Outcome) -> None:
    taken = [*outcome.answers[0], *outcome.answers[1]]
    assert len(taken) == len(set(taken)), f"leased twice: {taken}"
    assert taken


# An event is bound while its case is driven.


def route_and_drive(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.buy()
    decision_comes(world)
    return routing(world), driving(world)


def still_due_or_delivered(world: World, _outcome: Outcome) -> None:
    assert world.states[0] == "started"
    assert world.states[1] in ("delivering", "delivered")
    assert world.case.phase == "running"
    nothing_forgotten(world)


# A dispatcher whose lease ran out, and the one that came after it.


def slow_and_next(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.buy()
    world.decide()
    (job,) = world.lease()
    world.let_time_pass(timedelta(minutes=5))
    return through(world, lambda side: side.settle(job)), driving(world)


def the_case_runs_and_nothing_is_left(world: World, _outcome: Outcome) -> None:
    world.drive()
    assert (world.case.phase, world.case.due_at_ms is None) == ("running", world.states == ["started", "delivered"])


# A dispatcher that settles a case which ends meanwhile.


def settle_and_close(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.buy()
    world.drive()
    world.decide()
    (job,) = world.lease()
    ref = world.ref
    used = [event.seq for event in job.events]
    close = {"outcome": "rejected", "result": "no"}
    return through(world, lambda side: side.settle(job)), through(
        world, lambda side: side.step("close_case", ref=ref, used=used, closing=close)
    )


def used_and_closed(world: World, _outcome: Outcome) -> None:
    assert world.states == ["started", "consumed"]
    assert (world.case.phase, world.case.due_at_ms) == ("closed", None)


DECIDES = {
    "case/case": (Meeting(two_leases, nothing_is_leased_twice, alike=True), WITHOUT_LEASE_LOCK),
    "outbox/outbox": (Meeting(rows_leased_by(lease_outgoing), nothing_is_leased_twice, alike=True), WITHOUT_LEASE_LOCK),
    "notice/notice": (Meeting(rows_leased_by(lease_notices), nothing_is_leased_twice, alike=True), WITHOUT_LEASE_LOCK),
    "route/drive": (Meeting(route_and_drive, still_due_or_delivered), WITHOUT_CASE_LOCK),
}


@pytest.mark.parametrize("name", DECIDES)
def test_it_holds_in_every_order(table: Table, name: str) -> None:
    table.holds(DECIDES[name][0])


@pytest.mark.parametrize("name", DECIDES)
def test_it_breaks_without_its_lock(table: Table, name: str) -> None:
    assert table.breaks(*DECIDES[name])


def test_a_dispatcher_whose_lease_ran_out_takes_nothing_from_the_next(table: Table) -> None:
    table.holds(Meeting(slow_and_next, the_case_runs_and_nothing_is_left))


def test_a_case_that_ends_while_it_is_settled_stays_ended(table: Table) -> None:
    table.holds(Meeting(settle_and_close, used_and_closed))


def test_a_lease_takes_no_more_rows_than_it_was_asked_for(table: Table) -> None:
    """`IN (SELECT … LIMIT n FOR UPDATE SKIP LOCKED)` may be run once a row, if the planner likes."""
    world = table.world
    begin_anew(world)
    for number in range(40):
        world.buy(f"PO-{number}")
    while jobs := world.lease(limit=3):
        assert len(jobs) <= 3
