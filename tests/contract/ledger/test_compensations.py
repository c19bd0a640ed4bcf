"""Undos that failed: kept, told once, settled once; and steps that were given up stay so."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from ledger_world import World
from sqlalchemy import select

from sayso.contracts.workflow_io import GaveUp, StepInput, Unsettled
from sayso.errors import RefusedError
from sayso.ledger import Ledger
from sayso.ledger.compensations import settle
from sayso.ledger.pruning import ended_cases
from sayso.ledger.queries.compensations import list_compensations
from sayso.ledger.schema import audit, cases, notices, outbox
from sayso.ledger.steps import earlier_result

HOTEL = Unsettled(step="book_hotel", undo="cancel_hotel", error="the desk is closed", booking={"reference": "h-1"})
CAR = Unsettled(step="book_car", undo="cancel_car", error="no answer", booking=None)
FAR_AHEAD_MS = 2**52


@pytest.fixture
def world(ledger: Ledger) -> World:
    """A case whose saga could not undo two of its steps."""
    world = World(ledger)
    world.buy()
    world.route()
    world.drive()
    for number, unsettled in enumerate((CAR, HOTEL)):
        gave_up = GaveUp(step=unsettled.undo, iteration=0, error=unsettled.error, unknown=True)
        world.step("give_up", iteration=number, gave_up=gave_up, unsettled=unsettled)
    return world


def listed(world: World, **options: Any) -> list[tuple[str, Any, str | None]]:
    found = world.ledger.read(partial(list_compensations, limit=10, **options))
    return [(each.step, each.booking, each.settled_by) for each in found]


def do_settle(world: World, step: str, actor: str = "alice") -> str:
    return world.ledger.transact(partial(settle, case=world.ref, step=step, actor=actor, reason="by phone"))


def test_an_undo_that_failed_is_kept_and_told_on_alerts_in_the_words_of_the_service(world: World) -> None:
    assert sorted(listed(world)) == [("book_car", None, None), ("book_hotel", {"reference": "h-1"}, None)]
    told = [json.loads(bytes(row.body)) for row in world.rows(outbox) if row.topic == "alerts"]
    assert [event["type"] for event in told] == ["sayso.saga.compensation-failed.v1"] * 2
    assert told[1]["data"] | {"failed_at": ""} == {
        "case": world.ref.instance_id,
        "workflow": world.ref.workflow,
        "key": world.ref.key,
        "step": "book_hotel",
        "undo": "cancel_hotel",
        "error": "the desk is closed",
        "booking": {"reference": "h-1"},
        "failed_at": "",
    }


def test_the_same_step_again_tells_nothing_more(world: World) -> None:
    gave_up = GaveUp(step="cancel_hotel", iteration=0, error="other words", unknown=True)
    world.step("give_up", iteration=1, gave_up=gave_up, unsettled=HOTEL)
    assert len(listed(world)) == 2
    assert len([row for row in world.rows(outbox) if row.topic == "alerts"]) == 2


def test_a_person_settles_it_by_the_name_of_the_step_or_of_its_undo(world: World) -> None:
    assert do_settle(world, "book_hotel") == "book_hotel"
    assert do_settle(world, "cancel_car", "bob") == "book_car"
    assert listed(world) == []
    assert sorted(listed(world, also_settled=True)) == [("book_car", None, "bob"), ("book_hotel", {"reference": "h-1"}, "alice")]
    entries = [(row.action, row.actor) for row in world.rows(audit) if row.action.startswith("compensation-")]
    assert entries == [("compensation-failed", "sayso")] * 2 + [("compensation-settled", "alice"), ("compensation-settled", "bob")]


def test_what_is_not_there_or_settled_already_is_refused(world: World) -> None:
    with pytest.raises(RefusedError, match="no failed compensation book_flight"):
        do_settle(world, "book_flight")
    do_settle(world, "book_hotel")
    with pytest.raises(RefusedError, match="book_hotel was settled by alice already: by phone"):
        do_settle(world, "book_hotel", "bob")


def test_a_case_with_something_to_settle_is_not_pruned(world: World) -> None:
    world.close("failed")
    world.change(outbox, published_at_ms=1)
    world.change(notices, sent_at_ms=1)
    assert world.ledger.read(partial(ended_cases, before_ms=FAR_AHEAD_MS, limit=10)) == []
    for step in ("book_hotel", "book_car"):
        do_settle(world, step)
    assert len(world.ledger.read(partial(ended_cases, before_ms=FAR_AHEAD_MS, limit=10))) == 1


def test_what_was_given_up_stays_so_for_an_answer_that_comes_late_and_for_a_run_that_begins_anew(world: World) -> None:
    given_up = {"gave_up": "the desk is closed", "unknown": True}
    assert world.step("cancel_hotel", {"status": "cancelled"}) == given_up
    again = StepInput(case=world.ref, step="cancel_hotel")
    found = world.ledger.read(partial(earlier_result, step=again))
    assert found is not None
    assert found.items() >= given_up.items()


def test_what_was_done_just_before_it_was_given_up_counts_as_given_up(world: World) -> None:
    world.step("book_flight", {"reference": "f-1"})
    world.step("give_up", iteration=5, gave_up=GaveUp(step="book_flight", iteration=0, error="no answer", unknown=True))
    assert world.step("book_flight", {"reference": "f-1"}) == {"gave_up": "no answer", "unknown": True}
    assert world.ledger.read(lambda tx: tx.one(select(cases.c.phase))) is not None
