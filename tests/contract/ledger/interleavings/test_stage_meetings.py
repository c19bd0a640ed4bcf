"""An operator's change that meets the end of its case, and two workers that open the same stage."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from ledger_world import World
from meetings import WITHOUT_CASE_LOCK, Meeting, Table, begin_anew, through
from two_connections import Acts, Outcome

from sayso.contracts.approval_plan import ApprovalPlan, Seat, StagePlan, Wait
from sayso.contracts.approval_state import Answer, ApprovalState, Ballot
from sayso.contracts.workflow_io import CaseInput, CaseRef, StepInput
from sayso.gate.voting import decide
from sayso.ledger.database import Transaction
from sayso.ledger.deciding import open_stages
from sayso.ledger.operator_changes import cancel
from sayso.ledger.planning import SettingsAlone
from sayso.ledger.schema import steps, tasks
from sayso.ledger.steps import complete_step


class TwoStages(SettingsAlone):
    """Bob, then dave."""

    def plan(self, _workflow: str, _request: dict[str, Any], _now: datetime) -> ApprovalPlan:
        names = (("manager", "bob"), ("director", "dave"))
        rounds = tuple(
            (StagePlan(name=name, asked=(who,), seats=(Seat(holder=who),), wait=Wait(seconds=3600)),) for name, who in names
        )
        return ApprovalPlan(policy="p", version="1", policy_hash="h", request_hash="r", rule="r", rounds=rounds)


def waiting(world: World) -> CaseRef:
    """A case that waits for its first stage."""
    begin_anew(world)
    world.rules = replace(world.rules, policies=TwoStages())
    world.buy()
    world.drive()
    return world.ref


def cancel_and_close(world: World) -> tuple[Acts, Acts]:
    ref = waiting(world)
    cancels = partial(cancel, instance_id=ref.instance_id, actor="root", reason="a mistake")
    close = {"outcome": "timed_out", "result": "Cancelled"}
    return (
        lambda ledger: ledger.transact(cancels),
        through(world, lambda side: side.step("close_case", {"by": "the end"}, ref=ref, closing=close)),
    )


def refused_or_not_claimed(world: World, outcome: Outcome) -> None:
    assert world.case.phase == "closed"
    (asked,) = [answer for answer in outcome.answers if not isinstance(answer, dict)]
    assert world.states == (["started", "unclaimed"] if asked.done else ["started"])


def opening(world: World, step: StepInput) -> Acts:
    def record(tx: Transaction) -> dict[str, Any]:
        return complete_step(tx, step, open_stages(tx, step, world.rules.policies))

    return lambda ledger: ledger.transact(record)


def two_workers_open(world: World) -> tuple[Acts, Acts]:
    ref = waiting(world)
    plan = CaseInput.model_validate_json(world.case.input).plan
    assert plan.approval is not None
    assert plan.approval_begun is not None
    state = decide(plan.approval, plan.approval_begun, Ballot(person="bob", answer=Answer.APPROVE), ref.opened_at)
    assert isinstance(state, ApprovalState)
    step = StepInput(case=ref, step="open_stages", approval=state)
    return opening(world, step), opening(world, step)


def opened_once_with_one_time(world: World, outcome: Outcome) -> None:
    assert outcome.answers[0] == outcome.answers[1]
    assert len(world.rows(steps)) == 1
    found = {row.stage: row for row in world.rows(tasks)}
    assert (found["manager"].state, found["director"].state) == ("decided", "open")
    (told,) = [state for state in outcome.answers[0]["approval"]["stages"] if state["name"] == "director"]
    assert found["director"].due_at_ms == round(datetime.fromisoformat(told["due_at"]).timestamp() * 1000)
    assert [topic for topic, _ in world.published].count("approval-requests") == 2


CANCEL_CLOSE = Meeting(cancel_and_close, refused_or_not_claimed)
TWO_OPEN = Meeting(two_workers_open, opened_once_with_one_time, alike=True)


@pytest.mark.parametrize("meeting", [CANCEL_CLOSE, TWO_OPEN], ids=["cancel/close", "two workers"])
def test_it_holds_in_every_order(table: Table, meeting: Meeting) -> None:
    table.holds(meeting)


@pytest.mark.parametrize("meeting", [CANCEL_CLOSE, TWO_OPEN], ids=["cancel/close", "two workers"])
def test_it_breaks_without_its_lock(table: Table, meeting: Meeting) -> None:
    assert table.breaks(meeting, WITHOUT_CASE_LOCK)
