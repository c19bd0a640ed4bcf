"""The last step of a case is taken within the turn that asks for it, and left to the engine whenever that does not go well at once."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import GeneratorType
from typing import Any

import pytest
from case_run import OPENED_AT, CaseRun

from sayso.contracts.taken_in_turn import taken_in
from sayso.settings import Settings
from sayso.testing.workflow_run import WorkflowRun
from sayso_worker.last_steps import PLACES, REST_SECONDS, SLOW_SECONDS, LastStepExecutor, LastSteps
from sayso_worker.workflows.journal import Journal
from sayso_worker.workflows.mailbox import Mailbox

REQUEST = {"request_id": "R-1", "requester": "alice", "amount": "1000", "currency": "USD", "description": "a chair"}
Open = Callable[..., CaseRun]


class Clock:
    """Goes on when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_case(clock: Clock) -> Open:
    """Not replayed: no engine runs a turn again whose end it has stored."""

    class Executor(LastStepExecutor):
        last_steps = LastSteps(clock)

    def open_one(workflow: str = "approval_workflow", request: dict[str, Any] | None = None, **options: Any) -> CaseRun:
        return CaseRun(workflow, "R-1", {**REQUEST, **(request or {})}, Settings(), executor=Executor, **options)

    return open_one


def asked_of_the_engine(case: CaseRun) -> list[str]:
    return [event.taskScheduled.name for event in case.run.history if event.HasField("taskScheduled")]


def test_the_step_that_ends_a_case_is_taken_in_its_turn(open_case: Open) -> None:
    case = open_case()
    case.approve("bob")
    assert case.run.result == {"status": "approved", "request_id": "R-1", "approver": "bob"}
    assert (case.run.call_names, asked_of_the_engine(case)) == (["execute_approved_action"], [])


def test_a_case_that_asks_nobody_ends_in_its_first_turn(open_case: Open) -> None:
    case = open_case(request={"amount": "1"})
    assert (case.run.status, case.run.call_names, asked_of_the_engine(case)) == ("COMPLETED", ["close_case"], [])


def test_what_was_taken_stands_in_the_custom_status_with_its_answer(open_case: Open) -> None:
    case = open_case()
    case.approve("bob")
    assert case.run.custom_status is not None
    [(step, answer)] = taken_in(json.loads(case.run.custom_status))
    assert step == case.step("execute_approved_action")
    assert answer == {name: value for name, value in case.run.calls[0].answer.items() if name != "answers_to"}


def test_a_refused_effect_and_the_step_that_says_so_are_both_taken(open_case: Open) -> None:
    case = open_case(refusals={"execute_approved_action": "no budget"})
    case.approve("bob")
    assert (case.run.call_names, asked_of_the_engine(case)) == (["execute_approved_action", "close_case"], [])
    assert case.closing.outcome == "failed"


def test_an_effect_that_fails_is_the_engines_and_so_are_the_others_for_a_while(open_case: Open, clock: Clock) -> None:
    case = open_case(failures={"execute_approved_action": "out of order"})
    case.approve("bob")
    assert asked_of_the_engine(case)[:1] == ["execute_approved_action"]
    other = open_case()
    other.approve("bob")
    assert asked_of_the_engine(other) == ["execute_approved_action"]
    clock.now += REST_SECONDS
    third = open_case()
    third.approve("bob")
    assert asked_of_the_engine(third) == []


def test_a_step_that_does_not_end_its_case_is_the_engines(open_case: Open) -> None:
    order = {"order_id": "R-1", "cost": "1200.00", "product": "bolts", "quantity": 3, "currency": "EUR"}
    case = open_case("purchase_order_workflow", order)
    case.approve("bob")
    assert asked_of_the_engine(case) == ["place_order"]
    case.receive(case.paid())
    assert (asked_of_the_engine(case), case.run.call_names) == (["place_order"], ["place_order", "close_case"])


def test_a_step_that_is_tried_a_few_times_only_is_counted_by_the_engine(open_case: Open) -> None:
    case = open_case("task_chain_workflow", {"chain_id": "R-1", "value": 5}, refusals={"step1": "out of order"})
    assert "error_handler" in asked_of_the_engine(case)


def test_a_suspended_case_takes_its_last_step_when_it_is_resumed(open_case: Open) -> None:
    case = open_case()
    case.run.suspend()
    case.approve("bob")
    assert case.run.calls == []
    case.run.resume()
    assert case.run.call_names == ["execute_approved_action"]


def test_a_slow_step_gives_the_others_to_the_engine_for_a_while(clock: Clock) -> None:
    steps = LastSteps(clock)

    def slow() -> str:
        clock.now += 2 * SLOW_SECONDS
        return "done"

    assert steps.take(slow) == "done"
    assert steps.take(lambda: "done") is None
    clock.now += REST_SECONDS
    assert steps.take(lambda: "done") == "done"


def test_a_service_that_hangs_takes_only_so_many_turns(clock: Clock) -> None:
    steps = LastSteps(clock, place_seconds=0.001)

    def nested(depth: int) -> str | None:
        return steps.take(lambda: nested(depth + 1)) if depth <= PLACES else "as many as may be"

    assert nested(0) is None
    assert steps.take(lambda: "done") is None
    clock.now += REST_SECONDS
    assert steps.take(lambda: "done") == "done"


@pytest.mark.parametrize("status", [None, "busy", 7, {}, {"done": 3}, {"taken_in_turn": [["no step", {}]]}, {"taken_in_turn": 1}])
def test_a_custom_status_of_somebody_else_has_no_steps(status: Any) -> None:
    assert taken_in(status) == []


def test_a_turn_leaves_nothing_of_its_case_to_the_garbage_collector(open_case: Open) -> None:
    """Hundreds of turns would wait there, each with all that its case knows: a worker's memory grew with what a monitor had seen."""
    gc.collect()
    gc.disable()
    try:
        case = open_case()
        case.approve("bob")
        assert case.run.status == "COMPLETED"
        left = [found for found in gc.get_objects() if isinstance(found, Journal | Mailbox | GeneratorType)]
        assert [found for found in left if not isinstance(found, GeneratorType)] == []
        assert [found for found in left if isinstance(found, GeneratorType) and found.gi_code.co_name == "approval_workflow"] == []
    finally:
        gc.enable()


def test_a_workflow_that_does_not_want_to_end_keeps_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # the garbage collector tells that it ignored its end

    def stubborn(ctx: Any, _input: Any) -> Any:
        while True:
            with suppress(BaseException):
                yield ctx.create_timer(timedelta(days=1))

    run = WorkflowRun(stubborn, {}, {}, instance_id="stubborn", start=OPENED_AT)
    run.advance(timedelta(days=1))
    assert run.status == "RUNNING"
    del run
    gc.collect()
