"""`sayso saga`, and what the page of a case says of an undo that failed."""

from __future__ import annotations

import pytest
from answers import Sayso
from ledger_world import World

from sayso.contracts.workflow_io import GaveUp, Unsettled


@pytest.fixture
def stuck(world: World) -> World:
    """PO-1, whose hotel could not be cancelled."""
    world.buy()
    world.route()
    world.drive()
    gave_up = GaveUp(step="cancel_hotel", iteration=0, error="the desk is closed", unknown=True)
    unsettled = Unsettled(step="book_hotel", undo="cancel_hotel", error="the desk is closed", booking={"reference": "h-1"})
    world.step("give_up", gave_up=gave_up, unsettled=unsettled)
    return world


def test_what_is_to_be_settled_is_listed_with_the_command_that_settles_it(stuck: World, sayso: Sayso) -> None:
    answer = sayso("saga", "list")
    assert "the desk is closed" in answer.out
    assert "sayso saga settle PO-1 book_hotel --reason TEXT --as USER" in answer.err
    (listed,) = sayso("saga", "list", "--json").json
    assert (listed["key"], listed["step"], listed["booking"]) == ("PO-1", "book_hotel", {"reference": "h-1"})


def test_settling_is_done_once_by_somebody_for_a_reason(stuck: World, sayso: Sayso) -> None:
    assert sayso("saga", "settle", "PO-1", "book_hotel", "--reason", "by phone").code == 2
    assert sayso("saga", "settle", "PO-1", "book_hotel", "--as", "alice").code == 2
    assert sayso("saga", "settle", "PO-9", "book_hotel", "--reason", "by phone", "--as", "alice").code == 1
    done = sayso("saga", "settle", "PO-1", "cancel_hotel", "--reason", "by phone", "--as", "alice", "--json")
    assert (done.code, done.json["step"], done.json["settled_by"]) == (0, "book_hotel", "alice")
    again = sayso("saga", "settle", "PO-1", "book_hotel", "--reason", "by mail", "--as", "bob")
    assert (again.code, "was settled by alice already: by phone" in again.err) == (4, True)
    assert sayso("saga", "list").err.startswith("no saga has an undo that failed and is not settled")
    assert "alice: by phone" in sayso("saga", "list", "--all").out


def test_the_page_of_the_case_shows_it(stuck: World, sayso: Sayso) -> None:
    assert "cancel_hotel failed: the desk is closed; not settled" in sayso("case", "PO-1").out
    sayso("saga", "settle", "PO-1", "book_hotel", "--reason", "by phone", "--as", "alice")
    page = sayso("case", "PO-1")
    assert "settled by alice: by phone" in page.out
    assert "compensation-settled by alice (cli): step: book_hotel; reason: by phone" in page.out
    assert sayso("case", "PO-1", "--json").json["compensations"][0]["settled_by"] == "alice"
