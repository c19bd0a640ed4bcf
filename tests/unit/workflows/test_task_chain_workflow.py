"""task_chain_workflow, as docs/seeds.md says it (003, 004)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bulk_run import BulkRun

from sayso.errors import RefusedError, SaysoError, TransientError
from sayso.settings import ChainSettings, RetrySettings, Settings

DOWN = TransientError("Robot is asleep")


def trouble_with(step: str, error: SaysoError, times: int = 1_000) -> Any:
    """A step's call, or the error handler's, goes wrong so many times."""

    def trouble(path: str, body: dict[str, Any], time: int) -> SaysoError | None:
        named = "error_handler" if path == "/chain-errors" else body["step_id"].rpartition("/")[2]
        return error if named == step and time <= times else None

    return trouble


@pytest.fixture
def chain() -> Iterator[Any]:
    """Begin a chain; it is replayed when its test has ended."""
    begun = []

    def begin(value: int = 10, *, trouble: Any = None, settings: Settings | None = None) -> BulkRun:
        options = {"trouble": trouble} if trouble else {}
        one = BulkRun("task_chain_workflow", {"chain_id": "C-1", "value": value}, settings, key="C-1", **options)
        begun.append(one)
        return one

    yield begin
    for one in begun:
        one.run.check_replay()


@pytest.mark.parametrize(("value", "results"), [(10, [11, 22, 20]), (0, [1, 2, 0]), (-1, [0, 0, 2]), (2, [3, 6, 4])])
def test_each_step_gets_what_the_one_before_it_gave(chain: Any, value: int, results: list[int]) -> None:
    run = chain(value)
    assert run.run.result == results
    assert run.run.call_names == ["step1", "step2", "step3", "close_case"]
    assert [step.arguments.get("value") for step in run.steps[:3]] == [value, *results[:2]]
    assert run.closing.outcome == "completed"


def test_a_failure_goes_to_the_error_handler_and_is_raised_again_and_earlier_steps_never_run_again(chain: Any) -> None:
    run = chain(trouble=trouble_with("step2", RefusedError("Value is cursed")))
    assert (run.run.status, run.run.failure) == ("FAILED", "Value is cursed")
    assert run.run.call_names == ["step1", "step2", "give_up", "error_handler"], "a refusal is not tried again"
    assert run.steps[-1].arguments == {"chain_id": "C-1", "error": "Value is cursed"}
    assert (run.closing.outcome, run.closing.reason, run.closing.result) == ("failed", "step2: Value is cursed", [11])


def test_a_step_is_tried_ten_times_first_after_a_minute_then_ever_longer_at_most_an_hour(chain: Any) -> None:
    run = chain(trouble=trouble_with("step2", DOWN))
    minutes = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for tried, pause in enumerate(minutes, start=1):
        run.run.advance(timedelta(minutes=pause, seconds=-1))
        assert run.run.call_names.count("step2") == tried
        run.run.advance(timedelta(seconds=1))
    assert run.run.call_names.count("step2") == 10
    assert (run.run.status, run.run.failure) == ("FAILED", "Robot is asleep")
    assert run.run.call_names.count("step1") == 1


def test_a_step_that_works_at_last_goes_on_under_the_same_key(chain: Any) -> None:
    run = chain(trouble=trouble_with("step3", DOWN, times=3))
    run.run.advance(timedelta(minutes=7))
    assert run.run.result == [11, 22, 20]
    assert run.partner.calls == {"case-C-1/step1/0": 1, "case-C-1/step2/0": 1, "case-C-1/step3/0": 4}


def test_the_retries_are_a_setting_also_for_the_error_handler(chain: Any) -> None:
    retries = RetrySettings(first_interval=timedelta(seconds=1), attempts=2)
    run = chain(settings=Settings(chain=ChainSettings(retries=retries)), trouble=lambda *_: DOWN)
    run.run.advance(timedelta(seconds=2))
    assert run.run.call_names == ["step1", "step1", "give_up", "error_handler", "error_handler", "give_up", "close_case"]
    assert run.run.failure == "Robot is asleep"
    assert run.closing.reason == "step1: Robot is asleep; the error handler failed too: Robot is asleep"


def test_an_error_handler_that_is_refused_does_not_hide_the_error(chain: Any) -> None:
    refused = {"step1": RefusedError("first"), "error_handler": RefusedError("second")}
    run = chain(trouble=lambda path, *_: refused["error_handler" if path == "/chain-errors" else "step1"])
    assert (run.run.failure, run.closing.outcome) == ("first", "failed")
