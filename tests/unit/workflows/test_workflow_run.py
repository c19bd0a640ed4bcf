"""The runner itself: what it must find, and that it behaves as the engine does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from dapr.ext.workflow import RetryPolicy, when_any

from sayso.testing.workflow_run import NotDeterministicError, WorkflowRun

START = datetime(2026, 1, 5, tzinfo=UTC)


def run(workflow: Any, **activities: Any) -> WorkflowRun:
    table = {name: (lambda _ctx, value, function=function: function(value)) for name, function in activities.items()}
    return WorkflowRun(workflow, {"n": 1}, table, instance_id="one", start=START)


def test_a_workflow_that_asks_for_something_else_the_second_time_is_found() -> None:
    numbers = count()

    def restless(ctx: Any, _input: Any) -> Any:
        yield ctx.call_activity("note", input=next(numbers))

    with pytest.raises(NotDeterministicError, match="turn 0 of one"):
        run(restless, note=lambda value: value).check_replay()


def test_a_workflow_that_calls_another_activity_in_its_replay_fails_as_in_the_engine() -> None:
    numbers = count()

    def restless(ctx: Any, _input: Any) -> Any:
        yield ctx.call_activity("even" if next(numbers) % 2 == 0 else "odd")

    done = run(restless, even=lambda _: None, odd=lambda _: None)
    assert done.status == "FAILED"
    assert "call_activity" in str(done.failure)


def test_events_before_their_wait_are_kept_in_order_and_names_ignore_case() -> None:
    def two(ctx: Any, _input: Any) -> Any:
        yield ctx.call_activity("slow")
        first = yield ctx.wait_for_external_event("go")
        second = yield ctx.wait_for_external_event("GO")
        return [first, second]

    waiting = run(two, slow=lambda _: None)
    assert waiting.status == "RUNNING"
    waiting.raise_event("Go", 1)
    waiting.raise_event("gO", {"two": 2})
    waiting.check_replay()
    assert waiting.result == [1, {"two": 2}]


def test_time_passes_only_when_told_and_timers_fire_in_order() -> None:
    def naps(ctx: Any, _input: Any) -> Any:
        long, short = ctx.create_timer(timedelta(hours=2)), ctx.create_timer(timedelta(hours=1))
        first = yield when_any([long, short])
        at_first = ctx.current_utc_datetime
        yield long
        return [first is short, at_first.isoformat(), ctx.current_utc_datetime.isoformat()]

    napping = run(naps)
    napping.advance(timedelta(minutes=59))
    assert napping.status == "RUNNING"
    napping.advance(timedelta(days=1))
    napping.check_replay()
    assert napping.result == [True, "2026-01-05T01:00:00", "2026-01-05T02:00:00"]
    assert napping.now == START + timedelta(days=1, minutes=59)


def test_a_failing_activity_is_tried_again_by_its_policy_and_then_raises() -> None:
    answers = iter([OSError("gone"), OSError("gone"), "here"])
    policy = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=3, backoff_coefficient=2)

    def flaky(_value: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tries(ctx: Any, _input: Any) -> Any:
        return (yield ctx.call_activity("flaky", retry_policy=policy))

    trying = run(tries, flaky=flaky)
    trying.advance(timedelta(seconds=1))
    assert (trying.status, len(trying.calls)) == ("RUNNING", 2)
    trying.advance(timedelta(seconds=2))
    trying.check_replay()
    assert trying.result == "here"

    def give_up(ctx: Any, _input: Any) -> Any:
        yield ctx.call_activity("broken")

    failed = run(give_up, broken=lambda _value: 1 / 0)
    assert failed.status == "FAILED"
    assert "division by zero" in str(failed.failure)


def wait_for_one(ctx: Any, _input: Any) -> Any:
    return (yield ctx.wait_for_external_event("go", timeout=timedelta(days=9)))


def test_what_comes_while_it_is_suspended_is_met_when_it_is_resumed() -> None:
    one = run(wait_for_one)
    one.suspend()
    one.raise_event("go", {"n": 1})
    one.advance(timedelta(days=2))
    assert (one.status, one.result) == ("SUSPENDED", None)
    one.resume()
    assert (one.status, one.result) == ("COMPLETED", {"n": 1})
    one.check_replay()


def test_suspending_twice_and_resuming_twice_changes_nothing() -> None:
    """The SDK's own executor would loop without end, or fail the workflow."""
    one = run(wait_for_one)
    one.resume()
    one.suspend()
    one.suspend()
    one.raise_event("go", {"n": 1})
    one.resume()
    one.resume()
    assert (one.status, one.result) == ("COMPLETED", {"n": 1})
    one.check_replay()


def test_a_suspended_one_can_be_terminated() -> None:
    one = run(wait_for_one)
    one.suspend()
    one.terminate("enough")
    assert (one.status, one.result) == ("TERMINATED", "enough")
