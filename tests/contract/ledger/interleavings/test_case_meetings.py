"""What meets at one case: its start, its events, its end, its deadline."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from ledger_world import DECISION, PURCHASE, World, cloudevent, purchase
from meetings import (
    WITHOUT_CASE_AND_EVENT_LOCK,
    WITHOUT_CASE_LOCK,
    Meeting,
    Table,
    begin_anew,
    dead_letters,
    nothing_forgotten,
    routing,
    through,
)
from two_connections import Acts, Outcome

from sayso.contracts.workflow_io import DeadlineInput
from sayso.ledger.outbox import moment
from sayso.ledger.routing import expire
from sayso.ledger.schema import cases
from sayso.ledger.steps import confirm_deadline

DECIDED = {"order_id": "PO-1", "approver": "bob"}


def decision_comes(world: World) -> None:
    world.receive("approvals", cloudevent(DECISION, DECIDED))


def purchase_comes(world: World, event_id: str | None = None) -> None:
    world.receive("purchases", cloudevent(PURCHASE, purchase(), event_id))


def open_case(world: World) -> None:
    begin_anew(world)
    world.buy()
    world.drive()


def closing(world: World, outcome: str, step: str = "close_case") -> Acts:
    """A step that ends the case."""
    ref = world.ref
    return through(world, lambda side: side.step(step, ref=ref, closing={"outcome": outcome, "result": outcome}))


# Start and start.


def two_starts(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    purchase_comes(world)
    purchase_comes(world)
    return routing(world, -2), routing(world, -1)


def one_case_and_one_refusal(world: World, _outcome: Outcome) -> None:
    assert sorted(world.states) == ["refused", "started"]
    assert len(world.rows(cases)) == 1


START_START = Meeting(two_starts, one_case_and_one_refusal, alike=True)

# Start and deliver.


def start_and_deliver(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    purchase_comes(world)
    decision_comes(world)
    return routing(world, -2), routing(world, -1)


def the_decision_belongs_to_the_case(world: World, _outcome: Outcome) -> None:
    assert world.states == ["started", "delivering"]
    nothing_forgotten(world)


START_DELIVER = Meeting(start_and_deliver, the_decision_belongs_to_the_case)

# Deliver and close.


def deliver_and_close(world: World) -> tuple[Acts, Acts]:
    open_case(world)
    decision_comes(world)
    return routing(world), closing(world, "rejected")


def nothing_is_left_behind_the_end(world: World, _outcome: Outcome) -> None:
    assert (world.case.phase, world.case.due_at_ms) == ("closed", None)
    assert world.states[0] == "started"
    assert world.states[1] in ("unclaimed", "late")
    assert dead_letters(world) == 1


DELIVER_CLOSE = Meeting(deliver_and_close, nothing_is_left_behind_the_end)

# Decision and deadline.


def reaching_the_deadline(world: World, ahead: timedelta) -> Acts:
    """What a workflow does when its timer has fired: ask, and end the case if nothing is pending."""
    ref = world.ref

    def give_up(side: World) -> int:
        deadline = moment(side.ledger.read(lambda tx: tx.now_ms)) + ahead
        asked = DeadlineInput(case=ref, deadline=deadline, waited_for=["approval_received"])
        pending = int(side.ledger.transact(partial(confirm_deadline, asked=asked))["pending"])
        if not pending:
            side.step("close_case", ref=ref, closing={"outcome": "timed_out", "result": "too late"})
        return int(deadline.timestamp() * 1000)

    return through(world, give_up)


def decision_and_deadline(world: World) -> tuple[Acts, Acts]:
    """A decision that is in the ledger in time, and that nobody has looked at."""
    open_case(world)
    decision_comes(world)
    return routing(world), reaching_the_deadline(world, timedelta(hours=1))


def the_decision_keeps_the_case_open(world: World, _outcome: Outcome) -> None:
    assert world.case.phase == "running"
    assert world.states == ["started", "delivering"]
    nothing_forgotten(world)


DECISION_DEADLINE = Meeting(decision_and_deadline, the_decision_keeps_the_case_open)

# Expire and open.


def expire_and_open(world: World) -> tuple[Acts, Acts]:
    begin_anew(world)
    world.decide()
    held = world.events[-1].seq
    world.let_time_pass(timedelta(days=30))
    purchase_comes(world)
    return through(world, lambda side: side.ledger.transact(partial(expire, seq=held))), routing(world)


def the_held_event_is_dead_or_delivered(world: World, _outcome: Outcome) -> None:
    held, started = world.events
    assert started.state == "started"
    assert held.state in ("expired", "delivering")
    expired = held.state == "expired"
    assert (expired, expired) == (dead_letters(world) == 1, held.instance_id is None)
    nothing_forgotten(world)


EXPIRE_OPEN = Meeting(expire_and_open, the_held_event_is_dead_or_delivered)

# Two ends.


def two_ends(world: World) -> tuple[Acts, Acts]:
    open_case(world)
    return closing(world, "timed_out"), closing(world, "rejected", "cancel_order")


def one_end_is_told(world: World, _outcome: Outcome) -> None:
    told = [data["outcome"] for topic, data in world.published if topic == "outcomes"]
    assert told == [world.case.outcome]
    assert world.audit_actions.count("case-closed") == 1


CLOSE_CLOSE = Meeting(two_ends, one_end_is_told)

DECIDES = {
    "start/start": (START_START, WITHOUT_CASE_LOCK),
    "start/deliver": (START_DELIVER, WITHOUT_CASE_LOCK),
    "deliver/close": (DELIVER_CLOSE, WITHOUT_CASE_LOCK),
    "decision/deadline": (DECISION_DEADLINE, WITHOUT_CASE_LOCK),
    "expire/open": (EXPIRE_OPEN, WITHOUT_CASE_AND_EVENT_LOCK),
    "close/close": (CLOSE_CLOSE, WITHOUT_CASE_LOCK),
}


@pytest.mark.parametrize("name", DECIDES)
def test_it_holds_in_every_order(table: Table, name: str) -> None:
    table.holds(DECIDES[name][0])


@pytest.mark.parametrize("name", DECIDES)
def test_it_breaks_without_its_lock(table: Table, name: str) -> None:
    assert table.breaks(*DECIDES[name])
