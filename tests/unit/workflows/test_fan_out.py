"""`fan_out`: every item once, never more than the limit at the same time, results in order, whatever comes in which order."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dapr.ext.workflow import TaskFailedError

from sayso.simulator.instance import Asked, Instance
from sayso_worker.workflows.fan_out import NotBegun, fan_out

NOW = datetime(2026, 1, 5, tzinfo=UTC)
Yields = Any


def fanning(limit: int, is_fatal: Callable[[Any], bool] = lambda _result: False, told: Any = None) -> Callable[..., Yields]:
    """A workflow that doubles its input's items in two activities each; an item that fails gives its words."""

    def workflow(ctx: Any, items: list[int]) -> Yields:
        def do(item: int) -> Yields:
            try:
                first = yield ctx.call_activity("add", input=item)
                return (yield ctx.call_activity("add", input=first))
            except TaskFailedError as error:
                return error.details.message

        return (yield from fan_out(items, limit, do, is_fatal=is_fatal, told=told or (lambda _result: None)))

    return workflow


class Engine:
    """Answers what is asked in a random order, forgets the worker now and then, and watches how much is asked at once."""

    def __init__(self, workflow: Any, items: Any, seed: int = 0, fails: Any = ()) -> None:
        self.instance = Instance(workflow, "i", items, NOW)
        self.at_once_max = 0
        self.begun: list[int] = []
        self._fails = set(fails)
        self._rng = random.Random(seed)
        self.seen: list[Asked] = []
        self._open: list[Asked] = []

    def run(self, *, begun: bool = False) -> Any:
        if not begun:
            self.take(self.instance.begin())
        while self._open:
            asked = self._open.pop(self._rng.randrange(len(self._open)))
            if self._rng.random() < 0.1:
                self.instance.forget()
            kind, answer = ("failed", ("ValueError", f"no {asked.content}")) if asked.content in self._fails else ("answered", None)
            self.take(self.instance.take((NOW, kind, (asked.number, answer or asked.content * 2))))
        assert self.instance.status == "COMPLETED", self.instance.failure
        return self.instance.output

    def take(self, asked: list[Asked]) -> None:
        self._open += asked
        self.seen += asked
        self.begun += [one.content for one in asked]
        self.at_once_max = max(self.at_once_max, len(self._open))


@pytest.mark.parametrize(("width", "limit"), [(0, 5), (1, 5), (4, 5), (5, 5), (6, 5), (97, 5), (97, 1), (200, 64)])
@pytest.mark.parametrize("seed", range(4))
def test_every_item_is_done_once_in_any_order_and_the_limit_is_reached_and_never_exceeded(width: int, limit: int, seed: int) -> None:
    items = list(range(1, width + 1))
    engine = Engine(fanning(limit), items, seed)
    assert engine.run() == [item * 4 for item in items]
    assert sorted(engine.begun) == sorted(items + [item * 2 for item in items])
    assert engine.at_once_max == min(width, limit)


def test_an_item_begins_as_soon_as_another_has_ended_not_when_all_of_them_have() -> None:
    instance = Instance(fanning(2), "i", [10, 20, 30], NOW)
    first, second = instance.begin()
    (again,) = instance.take((NOW, "answered", (first.number, 11)))
    assert (second.content, again.content) == (20, 11)
    (third,) = instance.take((NOW, "answered", (again.number, 12)))
    assert third.content == 30


def test_a_failure_is_a_result_like_any_other() -> None:
    assert Engine(fanning(2), [1, 3, 5], fails={3}).run() == [4, "no 3", 20]


def test_after_a_fatal_result_nothing_begins_and_what_is_at_work_is_waited_for() -> None:
    told: list[Any] = []
    engine = Engine(fanning(2, is_fatal=lambda result: isinstance(result, str), told=told.append), [1, 3, 5, 7, 9], seed=3, fails={3})
    results = engine.run()
    done = [result for result in results if not isinstance(result, NotBegun)]
    assert "no 3" in done
    assert NotBegun() in results, "the last ones were not begun"
    assert results == done + [NotBegun()] * (5 - len(done)), "they begin in order"
    assert sorted(told, key=str) == sorted(done, key=str)


@pytest.mark.parametrize("seed", range(3))
def test_a_simulated_workflow_may_continue_as_new_and_what_nobody_had_taken_comes_to_its_next_run(seed: int) -> None:
    def counting(ctx: Any, given: dict[str, Any]) -> Yields:
        results = yield from fan_out([1, 2, 3], 2, lambda item: one(ctx, item))
        total = given["total"] + sum(results)
        if given["runs"] > 1:
            ctx.continue_as_new({"runs": given["runs"] - 1, "total": total}, save_events=True)
            return None
        event = yield ctx.wait_for_external_event("go", timeout=timedelta(0))
        return total, event

    def one(ctx: Any, item: int) -> Yields:
        return (yield ctx.call_activity("double", input=item))

    engine = Engine(counting, {"runs": 4, "total": 0}, seed)
    engine.take(engine.instance.begin())
    engine.take(engine.instance.take((NOW, "raised", ("go", {"a": 1}))))
    assert engine.run(begun=True) == (4 * 12, {"a": 1})
    assert engine.instance.runs == 4
    assert len({asked.number for asked in engine.seen}) == 12, "a late answer of an earlier run is nobody's"
