"""Two replicas of the subscribers: the same bytes, other bytes of one event, other content under its name, and a resend."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from ledger_world import PURCHASE, World, cloudevent, purchase
from meetings import (
    WITHOUT_CASE_AND_EVENT_LOCK,
    WITHOUT_IDENTITY,
    WITHOUT_SIGHTINGS,
    Meeting,
    Table,
    begin_anew,
    dead_letters,
    nothing_forgotten,
    routing,
    through,
)
from two_connections import Acts, Outcome

from sayso.ledger.routing import expire
from sayso.ledger.schema import cases

SAME_NAME = "one"
BYTES = cloudevent(PURCHASE, purchase(), SAME_NAME)
OTHER_BYTES = cloudevent(PURCHASE, purchase(), SAME_NAME, traceid="x")
OTHER_CONTENT = cloudevent(PURCHASE, purchase("PO-2"), SAME_NAME)
AUTHORIZED = "com.acme.payment.authorized.v1"


def receiving(world: World, topic: str, original: bytes) -> Acts:
    return through(world, lambda side: side.receive(topic, original))


# The same bytes.


def same_bytes(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    return receiving(world, "purchases", BYTES), receiving(world, "purchases", BYTES)


def one_row_seen_twice(world: World, _outcome: Outcome) -> None:
    assert [(row.state, row.sightings) for row in world.events] == [("received", 2)]


SAME_BYTES = Meeting(same_bytes, one_row_seen_twice, alike=True)


def same_row(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.receive("purchases", BYTES)
    return routing(world), routing(world)


def used_once(world: World, outcome: Outcome) -> None:
    assert world.states == ["started"]
    assert sorted(map(str, outcome.answers)) == ["None", "started"]
    assert len(world.rows(cases)) == 1


SAME_ROW = Meeting(same_row, used_once, alike=True)

# Other bytes of one event, or another event under its name.


def other_bytes(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.receive("purchases", BYTES)
    world.receive("purchases", OTHER_BYTES)
    return routing(world, -2), routing(world, -1)


def one_event_seen_twice(world: World, _outcome: Outcome) -> None:
    world.route()
    assert [(row.state, row.sightings) for row in world.events] == [("started", 2)]
    assert dead_letters(world) == 0


OTHER_BYTES_OF_ONE = Meeting(other_bytes, one_event_seen_twice, may_collide=True)


def only_recorded(world: World) -> tuple[Acts, Acts]:
    """An event that belongs to no case has no other lock."""
    begin_anew(world)
    world.receive("payments", cloudevent(AUTHORIZED, {}, SAME_NAME))
    world.receive("payments", cloudevent(AUTHORIZED, {}, SAME_NAME, traceid="x"))
    return routing(world, -2), routing(world, -1)


def one_record_seen_twice(world: World, _outcome: Outcome) -> None:
    world.route()
    assert [(row.state, row.sightings) for row in world.events] == [("recorded", 2)]


OTHER_BYTES_OF_ONE_RECORD = Meeting(only_recorded, one_record_seen_twice, may_collide=True)


def other_content(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.receive("purchases", BYTES)
    world.receive("purchases", OTHER_CONTENT)
    return routing(world, -2), routing(world, -1)


def the_second_is_a_conflict(world: World, _outcome: Outcome) -> None:
    world.route()
    assert sorted(world.states) == ["conflict", "started"]
    assert dead_letters(world) == 1


OTHER_CONTENT_UNDER_ONE = Meeting(other_content, the_second_is_a_conflict, may_collide=True)

# A resend.


def resend_and_route(world: World) -> tuple[Acts, Acts]:
    """An event that will be unmatched comes again while it is routed."""
    begin_anew(world)
    nobodys = cloudevent("com.acme.nobody.v1", {}, SAME_NAME)
    world.receive("purchases", nobodys)
    return routing(world), receiving(world, "purchases", nobodys)


def the_resend_counts_and_perhaps_drives(world: World, _outcome: Outcome) -> None:
    (row,) = world.events
    assert row.sightings == 2
    assert (row.state, row.due_at_ms is None) in (("received", False), ("unmatched", True))


RESEND_ROUTE = Meeting(resend_and_route, the_resend_counts_and_perhaps_drives)


def resend_and_expire(world: World) -> tuple[Acts, Acts]:
    """An early event comes again at the moment when it expires."""
    begin_anew(world)
    decision = cloudevent("sayso.approval.decided.v1", {"order_id": "PO-1", "approver": "bob"}, SAME_NAME)
    world.receive("approvals", decision)
    world.route()
    held = world.events[-1].seq
    world.let_time_pass(timedelta(days=30))
    return through(world, lambda side: side.ledger.transact(partial(expire, seq=held))), receiving(world, "approvals", decision)


def it_expired_or_is_driven_again(world: World, _outcome: Outcome) -> None:
    (row,) = world.events
    assert row.sightings == 2
    assert (row.state, row.due_at_ms is None) in (("received", False), ("expired", True))
    assert dead_letters(world) == 1


RESEND_EXPIRE = Meeting(resend_and_expire, it_expired_or_is_driven_again)


def resend_in_other_bytes_and_start(world: World) -> tuple[Acts, Acts]:
    """A decision has expired; it is sent again in other bytes while its purchase opens the case."""
    begin_anew(world)
    data = {"order_id": "PO-1", "approver": "bob"}
    world.receive("approvals", cloudevent("sayso.approval.decided.v1", data, "decision"))
    world.route()
    held = world.events[-1].seq
    world.let_time_pass(timedelta(days=30))
    world.ledger.transact(partial(expire, seq=held))
    world.receive("approvals", cloudevent("sayso.approval.decided.v1", data, "decision", traceid="x"))
    world.receive("purchases", BYTES)
    return routing(world, -2), routing(world, -1)


def the_decision_is_driven(world: World, _outcome: Outcome) -> None:
    world.route()
    assert sorted((row.state, row.sightings) for row in world.events) == [("delivering", 2), ("started", 1)]
    nothing_forgotten(world)


RESEND_START = Meeting(resend_in_other_bytes_and_start, the_decision_is_driven)

DECIDES = {
    "the same bytes": (SAME_BYTES, WITHOUT_SIGHTINGS),
    "the same row": (SAME_ROW, WITHOUT_CASE_AND_EVENT_LOCK),
    "other bytes": (OTHER_BYTES_OF_ONE_RECORD, WITHOUT_IDENTITY),
    "other content": (OTHER_CONTENT_UNDER_ONE, WITHOUT_IDENTITY),
}


@pytest.mark.parametrize("name", DECIDES)
def test_it_holds_in_every_order(table: Table, name: str) -> None:
    table.holds(DECIDES[name][0])


@pytest.mark.parametrize("name", DECIDES)
def test_it_breaks_without_what_decides_it(table: Table, name: str) -> None:
    assert table.breaks(*DECIDES[name])


def test_other_bytes_of_a_start_are_a_sighting(table: Table) -> None:
    table.holds(OTHER_BYTES_OF_ONE)


@pytest.mark.parametrize("meeting", [RESEND_ROUTE, RESEND_EXPIRE, RESEND_START], ids=["route", "expire", "start"])
def test_a_resend_is_counted_and_never_forgotten(table: Table, meeting: Meeting) -> None:
    table.holds(meeting)
