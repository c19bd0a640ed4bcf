"""What an operator asks of a case, and what meets it: the case's end, its events, another operator."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ledger_world import DECISION, World, cloudevent
from meetings import WITHOUT_CASE_LOCK, Meeting, Table, begin_anew, dead_letters, routing, through
from two_connections import Acts, Outcome

from sayso.ledger import acts as ledger_acts
from sayso.ledger.schema import acts, audit, cases, outbox

WHO = {"actor": "olga", "reason": "asked by phone"}


def open_case(world: World) -> str:
    """A case that waits for its approval; its instance."""
    begin_anew(world)
    world.buy()
    world.drive()
    return str(world.case.instance_id)


def asking(world: World, act: str, instance_id: str) -> Acts:
    change: Any = getattr(ledger_acts, act)
    more = {"rules": world.rules} if act == "retry" else {}
    return through(world, lambda side: side.ledger.transact(partial(change, instance_id=instance_id, **more, **WHO)))


def closing(world: World) -> Acts:
    ref = world.ref
    return through(world, lambda side: side.step("close_case", ref=ref, closing={"outcome": "rejected", "result": "rejected"}))


def outcomes(world: World) -> int:
    return sum(row.topic == "outcomes" for row in world.rows(outbox))


def asked_for(world: World, act: str) -> int:
    return sum(row.act == act for row in world.rows(acts))


# An act and the end of its case.


def act_and_close(act: str, world: World) -> tuple[Acts, Acts]:
    instance_id = open_case(world)
    return asking(world, act, instance_id), closing(world)


def terminated_or_rejected(world: World, outcome: Outcome) -> None:
    (asked,) = [answer for answer in outcome.answers if hasattr(answer, "done")]
    assert (world.case.phase, outcomes(world)) == ("closed", 1)
    assert (world.case.outcome, world.case.ended_as) == (("cancelled", "TERMINATED") if asked.done else ("rejected", None))
    assert asked_for(world, "terminate") == asked.done


def suspended_before_its_end_or_not_at_all(world: World, outcome: Outcome) -> None:
    (asked,) = [answer for answer in outcome.answers if hasattr(answer, "done")]
    assert (world.case.phase, world.case.outcome, outcomes(world)) == ("closed", "rejected", 1)
    assert asked_for(world, "suspend") == asked.done
    if not asked.done:
        assert (world.case.suspended_at_ms, asked.reason) == (None, "it has ended: rejected")


TERMINATE_CLOSE = Meeting(partial(act_and_close, "terminate"), terminated_or_rejected)
SUSPEND_CLOSE = Meeting(partial(act_and_close, "suspend"), suspended_before_its_end_or_not_at_all)

# An act and an event that is being delivered.


def terminate_and_deliver(world: World) -> tuple[Acts, Acts]:
    instance_id = open_case(world)
    world.receive("approvals", cloudevent(DECISION, {"order_id": "PO-1", "approver": "bob"}))
    return asking(world, "terminate", instance_id), routing(world)


def the_event_is_not_swallowed(world: World, _outcome: Outcome) -> None:
    assert (world.case.outcome, world.case.due_at_ms) == ("cancelled", None)
    assert world.states[1] in ("unclaimed", "late")
    assert dead_letters(world) == 1


TERMINATE_DELIVER = Meeting(terminate_and_deliver, the_event_is_not_swallowed)


def suspend_and_deliver(world: World) -> tuple[Acts, Acts]:
    instance_id = open_case(world)
    world.receive("approvals", cloudevent(DECISION, {"order_id": "PO-1", "approver": "bob"}))
    return asking(world, "suspend", instance_id), routing(world)


def the_event_waits_for_the_case(world: World, _outcome: Outcome) -> None:
    assert world.states == ["started", "delivering"]
    assert world.case.suspended_at_ms is not None
    assert world.case.due_at_ms is not None, "an event waits, and nobody will raise it"


SUSPEND_DELIVER = Meeting(suspend_and_deliver, the_event_waits_for_the_case)

# Two operators.


def two_operators(act: str, world: World) -> tuple[Acts, Acts]:
    instance_id = open_case(world)
    return asking(world, act, instance_id), asking(world, act, instance_id)


def one_of_them_did_it(world: World, outcome: Outcome) -> None:
    assert sorted(answer.done for answer in outcome.answers) == [False, True]
    assert len(world.rows(acts)) == 1
    assert [row.actor for row in world.rows(audit)].count("olga") == 1


SUSPEND_SUSPEND = Meeting(partial(two_operators, "suspend"), one_of_them_did_it, alike=True)
TERMINATE_TERMINATE = Meeting(partial(two_operators, "terminate"), one_of_them_did_it, alike=True)


def two_retries(world: World) -> tuple[Acts, Acts]:
    """Of a case whose workflow has failed."""
    instance_id = open_case(world)
    world.close("failed")
    world.change(cases, ended_as="FAILED")
    return asking(world, "retry", instance_id), asking(world, "retry", instance_id)


def one_new_generation(world: World, outcome: Outcome) -> None:
    assert sorted(answer.done for answer in outcome.answers) == [False, True]
    assert sorted(row.generation for row in world.rows(cases)) == [1, 2]


RETRY_RETRY = Meeting(two_retries, one_new_generation, alike=True)

ALL = {
    "terminate/close": TERMINATE_CLOSE,
    "suspend/close": SUSPEND_CLOSE,
    "terminate/deliver": TERMINATE_DELIVER,
    "suspend/deliver": SUSPEND_DELIVER,
    "suspend/suspend": SUSPEND_SUSPEND,
    "terminate/terminate": TERMINATE_TERMINATE,
    "retry/retry": RETRY_RETRY,
}


@pytest.mark.parametrize("meeting", ALL.values(), ids=ALL)
def test_it_holds_in_every_order(table: Table, meeting: Meeting) -> None:
    table.holds(meeting)


@pytest.mark.parametrize("name", ["terminate/close", "terminate/deliver", "suspend/suspend"])
def test_it_breaks_without_its_lock(table: Table, name: str) -> None:
    assert table.breaks(ALL[name], WITHOUT_CASE_LOCK)


# Two dispatchers with one case's acts.


def two_leases(world: World) -> tuple[Acts, Acts]:
    """Suspended and resumed, and nobody has told the engine yet."""
    instance_id = open_case(world)
    for act in ("suspend", "resume"):
        asking(world, act, instance_id)(world.ledger)

    def lease(side: World) -> list[str]:
        return [act.act.value for act in side.ledger.transact(partial(ledger_acts.lease_acts, lease_ms=20_000, limit=10))]

    return through(world, lease), through(world, lease)


def the_first_act_alone_and_once(_world: World, outcome: Outcome) -> None:
    assert sorted(outcome.answers) == [[], ["suspend"]]


def test_of_one_cases_acts_the_first_is_leased_once(table: Table) -> None:
    table.holds(Meeting(two_leases, the_first_act_alone_and_once, alike=True))
