"""Two workers with the same step, and a step that is run again while its case ends."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_world import World
from meetings import WITHOUT_CASE_LOCK, WITHOUT_CASE_LOCK_AND_STEP_KEY, Meeting, Table, begin_anew, through
from two_connections import Acts, Outcome

from sayso.ledger.schema import steps

PAYMENT_REQUEST = {"slot": "payment-requested", "topic": "payment-commands", "type": "sayso.payment.requested.v1", "data": {}}


def decided(world: World) -> int:
    """A case whose decision has been raised; returns the event's number."""
    begin_anew(world)
    world.buy()
    world.decide()
    world.drive()
    return int(world.events[-1].seq)


def placing(world: World, used: int, done_by: str) -> Acts:
    """The step that uses the decision; each worker has its own answer of the service."""
    record: dict[str, Any] = {"used": [used], "publish": [PAYMENT_REQUEST], "stage": "waits for payment"}
    ref = world.ref
    return through(world, lambda side: side.step("place_order", {"by": done_by}, ref=ref, **record))


def closing(world: World) -> Acts:
    ref = world.ref
    close = {"outcome": "timed_out", "result": "Cancelled"}
    return through(world, lambda side: side.step("close_case", {"by": "the end"}, ref=ref, closing=close))


def two_workers(world: World) -> tuple[Acts, Acts]:
    used = decided(world)
    return placing(world, used, "one"), placing(world, used, "two")


def one_step_and_one_answer(world: World, outcome: Outcome) -> None:
    assert len(world.rows(steps)) == 1
    assert outcome.answers[0] == outcome.answers[1]
    assert [topic for topic, _ in world.published].count("payment-commands") == 1
    assert world.states == ["started", "consumed"]


def rerun_and_close(world: World) -> tuple[Acts, Acts]:
    """The step has been recorded; its worker died before it could say so."""
    used = decided(world)
    placing(world, used, "one")(world.ledger)
    return placing(world, used, "two"), closing(world)


def the_rerun_gets_the_first_answer(world: World, outcome: Outcome) -> None:
    assert {"by": "one"} in outcome.answers
    assert (world.case.phase, world.case.stage) == ("closed", None)
    assert [topic for topic, _ in world.published].count("payment-commands") == 1


def step_and_close(world: World) -> tuple[Acts, Acts]:
    """The effect is done, not recorded; meanwhile the case ends."""
    used = decided(world)
    return placing(world, used, "one"), closing(world)


def recorded_before_the_end_or_not_at_all(world: World, outcome: Outcome) -> None:
    assert (world.case.phase, world.case.stage) == ("closed", None)
    placed = {"by": "one"} in outcome.answers
    assert world.states == ["started", "consumed" if placed else "unclaimed"]
    assert [topic for topic, _ in world.published].count("payment-commands") == placed


TWO_WORKERS = Meeting(two_workers, one_step_and_one_answer, alike=True)
TWO_WORKERS_THAT_COLLIDE = Meeting(two_workers, one_step_and_one_answer, alike=True, may_collide=True)
STEP_CLOSE = Meeting(step_and_close, recorded_before_the_end_or_not_at_all)


@pytest.mark.parametrize("meeting", [TWO_WORKERS, STEP_CLOSE], ids=["two workers", "step/close"])
def test_it_holds_in_every_order(table: Table, meeting: Meeting) -> None:
    table.holds(meeting)


@pytest.mark.parametrize("meeting", [TWO_WORKERS, STEP_CLOSE], ids=["two workers", "step/close"])
def test_it_breaks_without_its_lock(table: Table, meeting: Meeting) -> None:
    assert table.breaks(meeting, WITHOUT_CASE_LOCK)


def test_a_step_that_is_run_again_while_its_case_ends_gets_its_first_answer(table: Table) -> None:
    table.holds(Meeting(rerun_and_close, the_rerun_gets_the_first_answer))


def test_the_key_of_steps_is_the_second_line_of_defence(table: Table) -> None:
    """Without the lock the loser collides, tries again, and gets the winner's answer; without the key too it is done twice."""
    table.connections.rewrite(WITHOUT_CASE_LOCK.rewrite)
    table.holds(TWO_WORKERS_THAT_COLLIDE)
    assert table.breaks(TWO_WORKERS_THAT_COLLIDE, WITHOUT_CASE_LOCK_AND_STEP_KEY)
