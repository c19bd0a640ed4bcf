"""`Journal.attempt`: a few tries, the service's own words when they are over, and nothing lost of what was to be recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sayso.contracts.workflow_io import CaseInput, CaseRef, Plan, RaisedEvent, Retries
from sayso.errors import EffectFailedError, TransientError
from sayso.testing.workflow_run import WorkflowRun
from sayso_worker.workflows.journal import Failed, Journal, retry_policy

START = datetime(2026, 1, 5, tzinfo=UTC)
RETRIES = Retries(first_interval_seconds=1, coefficient=2, interval_max_seconds=3, attempts=3)
CASE = CaseRef(workflow="approval_workflow", key="A-1", generation=1, instance_id="case-A-1", opened_at=START)
INPUT = CaseInput(case=CASE, request={}, plan=Plan(retries=RETRIES)).model_dump(mode="json")
USED = RaisedEvent(seq=11, identity="ab", name="go", received_at=START, data={})


def attempting(ctx: Any, raw: dict[str, Any]) -> Any:
    """Uses an event, attempts `book`, and closes with what came of it."""
    journal = Journal(ctx, CaseInput.model_validate(raw))
    journal.use(USED)
    assert journal.plan.retries is not None
    done = yield from journal.attempt("book", {"seat": 1}, retries=retry_policy(journal.plan.retries))
    yield from journal.step("close_case")
    return {"error": done.error, "unknown": done.unknown} if isinstance(done, Failed) else done


def run_with(book: Callable[[], Any]) -> WorkflowRun:
    table = {"book": lambda _ctx, _step: book(), "close_case": lambda _ctx, _step: {}, "await_ledger": lambda _ctx, _step: {}}
    return WorkflowRun(attempting, INPUT, table, instance_id=CASE.instance_id, start=START)


def answers(*said: Any) -> Callable[[], Any]:
    left: Iterator[Any] = iter(said)

    def book() -> Any:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return book


def used_by_step(run: WorkflowRun) -> list[tuple[str, list[int]]]:
    return [(call.name, call.input["used"]) for call in run.calls]


def test_what_fails_at_first_is_tried_again_with_growing_pauses_under_the_same_key() -> None:
    busy = EffectFailedError("Booking service busy")
    run = run_with(answers(busy, busy, {"reference": "x"}))
    run.advance(timedelta(seconds=1))
    assert run.call_names == ["book", "book"]
    run.advance(timedelta(seconds=2))
    run.check_replay()
    assert run.result == {"reference": "x"}
    assert used_by_step(run) == [("book", [11]), ("book", [11]), ("book", [11]), ("close_case", [])]
    assert {call.input["iteration"] for call in run.calls} == {0}


def test_what_goes_on_failing_is_given_up_in_the_services_words_and_may_have_happened() -> None:
    run = run_with(answers(*[EffectFailedError("Dashboard service unavailable")] * 3))
    run.advance(timedelta(seconds=3))
    run.check_replay()
    assert run.result == {"error": "Dashboard service unavailable", "unknown": True}
    assert used_by_step(run)[-1] == ("close_case", [11])


def test_a_refusal_is_not_tried_again_and_had_no_effect() -> None:
    run = run_with(answers({"refused": "no seats left"}))
    run.check_replay()
    assert run.result == {"error": "no seats left", "unknown": False}
    assert used_by_step(run) == [("book", [11]), ("close_case", [11])]


@pytest.mark.parametrize("trouble", [TransientError("the ledger is locked"), OSError("no route to the database")])
def test_a_ledger_that_was_away_is_waited_for_and_is_no_failure_of_the_service(trouble: Exception) -> None:
    run = run_with(answers(trouble, trouble, trouble, {"reference": "x"}))
    run.advance(timedelta(seconds=3))
    run.check_replay()
    assert run.result == {"reference": "x"}
    assert run.call_names == ["book", "book", "book", "await_ledger", "book", "close_case"]
