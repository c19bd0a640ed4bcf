"""A person replays an event or gives it up, while the event is sent again, its case opens or ends, or another person does the same."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from ledger_world import PURCHASE, WORKFLOW, World, cloudevent, purchase
from meetings import WITHOUT_CASE_AND_EVENT_LOCK, Meeting, Table, begin_anew, dead_letters, nothing_forgotten, on, routing, through
from sqlalchemy import update
from two_connections import Acts, Outcome

from sayso.correlation.correlate import correlate
from sayso.ledger.dead import Judged, give_up, replay
from sayso.ledger.schema import cases, events

DECISION = cloudevent("sayso.approval.decided.v1", {"order_id": "PO-1", "approver": "bob"}, "decision")


def replaying(world: World, actor: str = "carol") -> Acts:
    """Replay the last event, as it was when the person looked."""
    row = world.events[-1]
    judged = Judged(row.seq, row.digest, correlate(world.bindings, row.topic, bytes(row.original)))
    work = partial(replay, judged=judged, settings=world.rules.settings, actor=actor)
    return through(world, lambda side: side.ledger.transact(work).done)


def giving_up(world: World) -> Acts:
    seq = world.events[-1].seq
    return through(world, lambda side: side.ledger.transact(partial(give_up, seq=seq, actor="bob", comment="settled by phone")).done)


def expired_decision(world: World) -> None:
    """A decision that waited in vain, and a purchase that now has come; the decision is the last row."""
    begin_anew(world)
    world.receive("approvals", DECISION)
    world.route()
    world.let_time_pass(timedelta(days=30))
    world.route()
    world.receive("purchases", cloudevent(PURCHASE, purchase()))
    world.ledger.transact(lambda tx: tx.run(update(events).where(events.c.state == "received").values(seq=0)))
    assert world.states == ["received", "expired"]


def replay_and_open(world: World) -> tuple[Acts, Acts]:
    expired_decision(world)
    return replaying(world), routing(world, 0)


def driven_when_its_case_is_there(world: World, outcome: Outcome) -> None:
    """Before its case is open a replay foretells another wait; it is never both dead and driven."""
    world.route()
    assert world.states == ["started", "delivering" if True in outcome.answers else "expired"]
    assert dead_letters(world) == 1
    nothing_forgotten(world)


def two_replays(world: World) -> tuple[Acts, Acts]:
    expired_decision(world)
    world.ledger.transact(lambda tx: tx.run(events.delete().where(events.c.state == "received")))
    world.buy()
    world.ledger.transact(lambda tx: tx.run(update(events).where(events.c.state == "expired").values(seq=10**9)))
    return replaying(world, "bob"), replaying(world, "carol")


def replayed_once(world: World, outcome: Outcome) -> None:
    assert sorted(outcome.answers) == [False, True]
    assert world.audit_actions.count("event-replayed") == 1
    world.route()
    assert sorted(world.states) == ["delivering", "started"]


def replay_and_give_up(world: World) -> tuple[Acts, Acts]:
    two_replays(world)
    return replaying(world), giving_up(world)


def one_of_both(world: World, outcome: Outcome) -> None:
    world.route()
    assert sorted(outcome.answers) == [False, True]
    given_up = "event-given-up" in world.audit_actions
    assert sorted(world.states) == (["dead", "started"] if given_up else ["delivering", "started"])


def replay_and_end(world: World) -> tuple[Acts, Acts]:
    two_replays(world)
    world.drive()
    ref = world.ref
    close = {"outcome": "timed_out", "result": "too late"}
    return replaying(world), through(world, lambda side: side.step("close_case", ref=ref, closing=close))


def late_or_not_replayed(world: World, _outcome: Outcome) -> None:
    world.route()
    assert world.case.phase == "closed"
    assert "delivering" not in world.states


def replay_and_resend(world: World) -> tuple[Acts, Acts]:
    two_replays(world)
    return replaying(world), through(world, lambda side: side.receive("approvals", DECISION))


def driven_once(world: World, _outcome: Outcome) -> None:
    world.route()
    assert sorted((row.state, row.sightings) for row in world.events) == [("delivering", 2), ("started", 1)]
    nothing_forgotten(world)


MEETINGS = {
    "open": Meeting(replay_and_open, driven_when_its_case_is_there),
    "replay": Meeting(two_replays, replayed_once),
    "give up": Meeting(replay_and_give_up, one_of_both),
    "end": Meeting(replay_and_end, late_or_not_replayed),
    "resend": Meeting(replay_and_resend, driven_once),
}


@pytest.mark.parametrize("name", MEETINGS)
def test_a_replay_holds_in_every_order(table: Table, name: str) -> None:
    table.holds(MEETINGS[name])


@pytest.mark.parametrize("name", ["replay", "give up"])
def test_a_replay_breaks_without_locks(table: Table, name: str) -> None:
    assert table.breaks(MEETINGS[name], WITHOUT_CASE_AND_EVENT_LOCK)


def test_a_replay_and_the_routing_of_a_resend_do_not_wait_in_a_circle(table: Table) -> None:
    """The resend has made the event `received` after the person had looked at it, and it still names its case."""

    def prepare(world: World) -> tuple[Acts, Acts]:
        two_replays(world)
        again = replaying(world)
        world.receive("approvals", DECISION)
        return again, routing(world)

    table.holds(Meeting(prepare, lambda world, _outcome: nothing_forgotten(world)))
    assert on(table.world, table.world.ledger).rows(cases)[0].workflow == WORKFLOW
