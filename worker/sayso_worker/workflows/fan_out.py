"""fan_out: do something for each of many items, a bounded number of them at the same time (docs/seeds.md, fan-out/fan-in).

In: items, a limit, and a generator function that does one item, of one step or several. Out: what it gave for each, in the items'
order. Pure: items begin in their order, each as soon as another one has ended, so that a replay begins them at the same places.
An item waits for activities alone, which end by their retries; so this wait needs no deadline of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from dapr.ext.workflow import when_any

from sayso_worker.workflows.journal import Yields

Item = TypeVar("Item")


@dataclass(frozen=True)
class NotBegun:
    """The result of an item that was left out, because one before it ended the whole."""


@dataclass
class _Lane:
    """One item at work: its generator, and the task that it waits for."""

    index: int
    generator: Generator[Any, Any, Any]
    awaited: Any


def fan_out(
    items: Iterable[Item],
    limit: int,
    do: Callable[[Item], Yields],
    *,
    is_fatal: Callable[[Any], bool] = lambda _result: False,
    told: Callable[[Any], None] = lambda _result: None,
) -> Yields:
    """Do every item, at most `limit` at the same time; gives all results, in the items' order.

    After a result that `is_fatal` no further item begins; those at work are waited for, because their effects happen anyway, and the
    rest is `NotBegun`. `told` hears of each result as it comes.
    """
    waiting = list(items)
    results: list[Any] = [NotBegun() for _ in waiting]
    lanes: dict[int, _Lane] = {}
    following = 0
    stopped = False

    def ended(index: int, result: Any) -> None:
        nonlocal stopped
        results[index] = result
        stopped = stopped or is_fatal(result)
        told(result)

    def fill() -> None:
        nonlocal following
        while following < len(waiting) and len(lanes) < limit and not stopped:
            lane = _Lane(following, do(waiting[following]), None)
            if _goes_on(lane, ended, first=True):
                lanes[following] = lane
            following += 1

    fill()
    while lanes:
        yield when_any([lane.awaited for lane in lanes.values()])
        lanes = {index: lane for index, lane in lanes.items() if not lane.awaited.is_complete or _goes_on(lane, ended)}
        fill()
    return results


def _goes_on(lane: _Lane, ended: Callable[[int, Any], None], *, first: bool = False) -> bool:
    """Run the item until it waits for something that has not come; False when it has ended."""
    try:
        if first:
            lane.awaited = next(lane.generator)
        while lane.awaited.is_complete:
            if lane.awaited.is_failed:
                lane.awaited = lane.generator.throw(lane.awaited.get_exception())
            else:
                lane.awaited = lane.generator.send(lane.awaited.get_result())
    except StopIteration as end:
        ended(lane.index, end.value)
        return False
    return True
