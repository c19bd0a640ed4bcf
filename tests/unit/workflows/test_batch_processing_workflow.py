"""batch_processing_workflow, as docs/seeds.md says it (003, 004), and in rounds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bulk_run import BulkRun

from sayso.errors import RefusedError, SaysoError, TransientError
from sayso.settings import BatchSettings, RetrySettings, Settings

REFUSED = RefusedError("Item 7 is broken")


def trouble_with(item: int, error: SaysoError, times: int = 1_000) -> Any:
    return lambda _path, body, time: error if body.get("item") == item and time <= times else None


@pytest.fixture
def batch() -> Iterator[Any]:
    """Begin a batch; what it did is replayed when its test has ended."""
    begun = []

    def begin(count: int, *, settings: Settings | None = None, trouble: Any = None, **fields: Any) -> BulkRun:
        options = {"trouble": trouble} if trouble else {}
        one = BulkRun("batch_processing_workflow", {"batch_id": "B-1", "count": count, **fields}, settings, **options)
        begun.append(one)
        return one

    yield begin
    for one in begun:
        one.run.check_replay()


def effects_of_items(batch: BulkRun) -> Counter[int]:
    return Counter(body["item"] for path, body in batch.partner.effects.values() if path == "/work-items")


def in_rounds(items: int) -> Settings:
    """Two at the same time, so that a round may be as short as ten."""
    return Settings(batch=BatchSettings(round_items=items, items_at_once=2))


@pytest.mark.parametrize("count", [0, 1, 5, 6, 49, 50])
def test_every_item_is_doubled_and_the_sum_is_told(batch: Any, count: int) -> None:
    run = batch(count)
    total = count * (count + 1)
    counts = {"processed": count, "failed": 0, "failures": []}
    assert run.run.result == {"batch_id": "B-1", "status": "completed", "total": total, **counts}
    assert effects_of_items(run) == Counter(range(1, count + 1))
    told = [body for path, body in run.partner.effects.values() if path == "/batches"]
    assert told == [{"batch_id": "B-1", "total": total, "processed": count, "failed": 0}]
    assert (run.closing.outcome, run.run.runs) == ("completed", 1)


def test_nothing_to_do_is_a_sum_of_nothing_in_one_step(batch: Any) -> None:
    assert batch(0).run.call_names == ["process_results"]


@pytest.mark.parametrize(("count", "runs"), [(10, 1), (11, 2), (20, 2), (95, 10)])
def test_many_items_are_done_in_rounds_each_a_short_run_of_its_own(batch: Any, count: int, runs: int) -> None:
    run = batch(count, settings=in_rounds(10))
    assert (run.run.runs, run.run.result["total"]) == (runs, count * (count + 1))
    assert effects_of_items(run) == Counter(range(1, count + 1))
    keys = [step.idempotency_key for step in run.steps]
    assert len(keys) == len(set(keys)), "no round has a key of another one"
    assert f"case-B-1/process_work_item/{count - 1}" in keys


@pytest.mark.parametrize(("limit", "first_round"), [(1, 50), (7, 56), (10, 50), (20, 100), (100, 500)])
def test_a_round_is_a_multiple_of_the_limit_and_at_least_five_times_as_long_as_wide(limit: int, first_round: int) -> None:
    run = BulkRun("batch_processing_workflow", {"batch_id": "B-1", "count": 600, "limit": limit}, trouble=trouble_with(1, REFUSED))
    first = next(step for step in run.steps if step.step == "get_work_batch")
    assert first.arguments == {"batch_id": "B-1", "first": 1, "count": first_round}


def test_a_history_does_not_grow_with_the_batch(batch: Any) -> None:
    def longest(count: int) -> int:
        run = batch(count, settings=in_rounds(20)).run
        return max(sum(event.ByteSize() for event in turn.history) for turn in run._turns)

    assert longest(200) < 1.1 * longest(60)


def test_what_is_done_is_counted_in_the_custom_status(batch: Any) -> None:
    run = batch(25, settings=in_rounds(10), trouble=trouble_with(7, REFUSED), on_failure="collect")
    assert json.loads(run.run.custom_status) == {"done": 24, "failed": 1, "of": 25}


def test_each_round_says_on_the_case_where_it_is(batch: Any) -> None:
    run = batch(25, settings=in_rounds(10), trouble=trouble_with(7, REFUSED), on_failure="collect")
    stages = [step.stage for step in run.steps if step.step == "get_work_batch"]
    assert stages == [
        "works on items 1 to 10 of 25",
        "works on items 11 to 20 of 25, 1 failed",
        "works on items 21 to 25 of 25, 1 failed",
    ]


@pytest.mark.parametrize(("asked", "at_once"), [(None, 5), (1, 1), (20, 20)])
def test_so_many_are_at_work_at_the_same_time_as_the_batch_says_or_five(asked: int | None, at_once: int) -> None:
    run = BulkRun("batch_processing_workflow", {"batch_id": "B-1", "count": 50, "limit": asked})
    turns = [[action for action in turn.actions if b"process_work_item" in action] for turn in run.run._turns]
    assert len(turns[1]) == at_once, "the first ones begin together"
    assert {len(begun) for begun in turns[2:]} == {0, 1}, "after that one begins for each that has ended"


def test_a_batch_may_be_a_later_part_of_a_larger_whole(batch: Any) -> None:
    run = batch(3, offset=1_000)
    assert run.run.result["total"] == 2 * (1_001 + 1_002 + 1_003)


def test_one_failure_is_fatal_by_default_and_the_error_is_raised_again(batch: Any) -> None:
    run = batch(50, trouble=trouble_with(7, REFUSED))
    assert (run.run.status, run.run.failure) == ("FAILED", "Item 7 is broken")
    closing = run.closing
    assert (closing.outcome, closing.reason, closing.result["status"]) == ("failed", "Item 7 is broken", "failed")
    assert closing.result["failures"] == [{"item": 7, "error": "Item 7 is broken"}]
    assert 7 <= len(effects_of_items(run)) + 1 <= 16, "each of the five begins at most one more while the failure is written down"
    assert not [path for path, _ in run.partner.effects.values() if path == "/batches"]


def test_failures_are_collected_by_choice(batch: Any) -> None:
    run = batch(50, trouble=trouble_with(7, REFUSED), on_failure="collect")
    assert run.run.result == {
        "batch_id": "B-1",
        "status": "completed",
        "total": 50 * 51 - 14,
        "processed": 49,
        "failed": 1,
        "failures": [{"item": 7, "error": "Item 7 is broken"}],
    }


def test_all_may_fail_and_the_first_twenty_are_told_apart(batch: Any) -> None:
    run = batch(45, settings=in_rounds(16), trouble=lambda path, *_: REFUSED if path == "/work-items" else None, on_failure="collect")
    assert (run.run.result["total"], run.run.result["failed"]) == (0, 45)
    assert [one["item"] for one in run.run.result["failures"]] == list(range(1, 21))


def test_a_service_that_fails_at_first_is_asked_again_under_the_same_key(batch: Any) -> None:
    run = batch(20, trouble=trouble_with(7, TransientError("busy"), times=2))
    run.run.advance(timedelta(seconds=10))
    assert run.run.result["total"] == 20 * 21
    assert run.partner.calls["case-B-1/process_work_item/6"] == 3


def test_a_service_that_goes_on_failing_fails_its_item_in_its_own_words(batch: Any) -> None:
    settings = Settings(batch=BatchSettings(retries=RetrySettings(attempts=2)))
    run = batch(20, settings=settings, trouble=trouble_with(7, TransientError("Warehouse is closed")), on_failure="collect")
    run.run.advance(timedelta(seconds=10))
    assert run.run.result["failures"] == [{"item": 7, "error": "Warehouse is closed"}]
    assert run.partner.calls["case-B-1/process_work_item/6"] == 2


def test_a_sum_that_nobody_takes_fails_the_batch(batch: Any) -> None:
    run = batch(3, trouble=lambda path, *_: RefusedError("not now") if path == "/batches" else None)
    assert (run.run.status, run.run.failure) == ("FAILED", "not now")
