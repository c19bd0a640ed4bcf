"""Intake: whatever arrives is kept once, as it came."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from ledger_world import PAYMENT_FAILURE, PURCHASE, World, cloudevent, purchase

from sayso.ledger.schema import cases, events


def test_the_same_bytes_a_thousand_times_from_twenty_threads_are_one_row_with_a_thousand_sightings(world: World) -> None:
    original = cloudevent(PURCHASE, purchase())
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: world.receive("purchases", original), range(1_000)))
    (row,) = world.events
    assert (row.state, row.sightings, bytes(row.original), row.attempts) == ("received", 1_000, original, 0)
    assert world.route() == ["started"]
    world.receive("purchases", original)
    assert world.route() == []
    (row,) = world.events
    assert (row.state, row.sightings) == ("started", 1_001)
    assert len(world.rows(cases)) == 1


@pytest.mark.parametrize("original", [b"", b"\xff\xfe not json", b"\x00", b"{}", b"[" * 100_000, bytes(range(256)) * 4_000])
def test_any_bytes_are_kept_as_they_came_and_end_rejected(world: World, original: bytes) -> None:
    world.receive("purchases", original)
    assert world.route() == ["rejected"]
    (row,) = world.events
    assert bytes(row.original) == original
    assert row.reason
    (letter,) = world.dead_letters
    assert (letter["state"], letter["topic"], letter["reason"]) == ("rejected", "purchases", row.reason)


def test_the_same_event_in_other_bytes_is_a_sighting_and_its_row_is_gone(world: World) -> None:
    world.send("purchases", PURCHASE, purchase(), "one")
    world.receive("purchases", cloudevent(PURCHASE, purchase(), "one", traceid="added on the way"))
    assert world.route() == [None]
    (row,) = world.events
    assert (row.state, row.sightings) == ("started", 2)
    assert world.dead_letters == []


def test_another_content_under_the_same_identity_is_a_conflict_and_changes_nothing(world: World) -> None:
    world.send("purchases", PURCHASE, purchase(), "one")
    assert world.send("purchases", PURCHASE, purchase(cost=5), "one") == "conflict"
    first, second = world.events
    assert (first.state, first.sightings) == ("started", 1)
    assert (second.identity, second.reason) == (None, f"event {first.seq} has the same source and id, but says something else")
    assert [letter["state"] for letter in world.dead_letters] == ["conflict"]
    assert len(world.rows(cases)) == 1


def test_the_same_id_of_another_source_is_another_event(world: World) -> None:
    world.send("purchases", PURCHASE, purchase(), "one", source="/shop")
    assert world.send("purchases", PURCHASE, purchase("PO-2"), "one", source="/store") == "started"
    assert [row.identity for row in world.events] == [row.identity for row in world.events if row.identity]
    assert len(world.rows(cases)) == 2


def test_an_event_that_came_on_a_wrong_topic_first_is_taken_from_the_right_one(world: World) -> None:
    original = cloudevent(PURCHASE, purchase())
    world.receive("tasks", original)
    assert world.route() == ["unmatched"]
    world.receive("purchases", original)
    assert world.route() + world.route() == [None, "started"]
    (row,) = world.events
    assert (row.topic, row.state, row.sightings) == ("purchases", "started", 2)


def test_an_event_that_comes_again_on_a_wrong_topic_is_a_sighting(world: World) -> None:
    original = cloudevent(PURCHASE, purchase())
    world.receive("purchases", original)
    world.route()
    world.receive("tasks", original)
    assert world.route() == [None]
    (row,) = world.events
    assert (row.topic, row.state, row.sightings) == ("purchases", "started", 2)


@pytest.mark.parametrize("same_bytes", [True, False])
def test_a_resend_of_an_unmatched_event_drives_it_again(world: World, same_bytes: bool) -> None:
    first = cloudevent("com.acme.purchase.imagined", purchase(), "one")
    again = first if same_bytes else cloudevent("com.acme.purchase.imagined", purchase(), "one", traceid="x")
    world.receive("purchases", first)
    assert world.route() == ["unmatched"]
    world.receive("purchases", again)
    assert set(world.route() + world.route()) == {"unmatched"} | ({None} if not same_bytes else set())
    (row,) = world.events
    assert (row.state, row.sightings) == ("unmatched", 2)
    assert len(world.dead_letters) == 2, "it came to rest there twice"


@pytest.mark.parametrize("same_bytes", [True, False])
def test_a_resend_of_an_expired_event_is_taken_by_its_case(world: World, same_bytes: bool) -> None:
    data = {"order_id": "PO-1", "reason": "card declined"}
    failure = cloudevent(PAYMENT_FAILURE, data, "pay")
    world.receive("payments", failure)
    assert world.route() == ["held"]
    world.let_time_pass(timedelta(days=7))
    assert world.route() == ["expired"]
    world.buy()
    world.receive("payments", failure if same_bytes else cloudevent(PAYMENT_FAILURE, data, "pay", traceid="x"))
    world.route()
    world.route()
    states = {row.type: (row.state, row.sightings) for row in world.events}
    assert states[PAYMENT_FAILURE] == ("delivering", 2)


def test_a_sighting_of_a_finished_event_drives_nothing(world: World) -> None:
    original = cloudevent(PURCHASE, purchase())
    world.receive("purchases", original)
    world.route()
    world.drive()
    world.close()
    before = (world.case, world.states, world.audit_actions)
    for _ in range(100):
        world.receive("purchases", original)
    assert world.route() == []
    assert (world.case, world.states, world.audit_actions) == before
    assert world.ledger.read(lambda tx: tx.one(events.select())).sightings == 101  # type: ignore[union-attr]
