"""`python -m benchmarks.batches`: what a batch costs for each of its items, and what a kill -9 in its middle costs.

In: how many items, how many at the same time, how long the work on one takes. Out: a line a batch. The ideal of a batch is the
work alone: items / limit, rounded up, times the duration of one. A kill takes the worker when half of the items are done; its
restart is the time from then until the next item is done, and no effect may have happened twice.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from sqlalchemy import func, select

from benchmarks.meter import BENCH, Meter, usage
from benchmarks.topics import Outgoing, Topics, connect
from sayso.contracts.cloudevent import SPEC_VERSION
from sayso.errors import SaysoError
from sayso.ledger import Ledger
from sayso.ledger.schema import cases, steps
from sayso.stack.state import Broker, LedgerKind
from sayso.testing.stack import StackHandle, running_stack

POLL_SECONDS = 0.1
STILL_SECONDS = 120.0
WARM_UP = 40
EFFECTS_MAX = 100_000


class WrongResultError(SaysoError):
    """A batch gave another sum than it must, an effect happened twice or is missing, or nothing moved any more."""


@dataclass(frozen=True)
class Figures:
    """One batch. `calls_again` is how many calls the partner service got beyond one an item."""

    items: int
    limit: int
    work_ms: int
    seconds: float
    ideal_seconds: float
    restart_seconds: float | None
    over_ideal: float
    """Of the seconds without the restart; 0 when the work takes no time."""
    calls_again: int
    at_work_max: int
    """How many items were seen at the same time at the partner's, from when each arrived until it was done."""
    cpu_ms_per_item: dict[str, float]
    cpu_ms_per_item_total: float | None
    others_cpu_percent: float | None


class Shop:
    """One running stack, seen by who sends batches."""

    def __init__(self, stack: StackHandle, topics: Topics, limit: int, work_ms: int) -> None:
        self._stack = stack
        self._topics = topics
        self._ledger = Ledger(stack.state.ledger_url)
        self._limit = limit
        self._work_ms = work_ms

    def close(self) -> None:
        """Let go of the stack."""
        self._ledger.close()
        self._topics.close()

    def run(self, batch_id: str, items: int, *, kill: bool) -> Figures:
        """One batch from its publication to its end."""
        meter = None if kill else Meter(self._stack, {})
        before = meter.read() if meter else None
        began = time.time()
        self._topics.publish("batches", [_submitted(batch_id, items, self._limit)])
        killed_at = self._kill_half_way(batch_id, items) if kill else None
        ended = self._end_of(batch_id, items)
        used = usage(before, meter.read()) if meter and before else None
        effects = self._effects(batch_id, items)
        done_at = sorted(datetime.fromisoformat(one["performed_at"]).timestamp() for one in effects)
        restart = next(at for at in done_at if at > killed_at + self._work_ms / 1000) - killed_at if killed_at else None
        ideal = math.ceil(items / self._limit) * self._work_ms / 1000
        seconds = ended - began
        cpu = {name: 1000 * of / items for name, of in used.cpu_seconds.items()} if used else {}
        return Figures(
            items=items,
            limit=self._limit,
            work_ms=self._work_ms,
            seconds=seconds,
            ideal_seconds=ideal,
            restart_seconds=restart,
            over_ideal=(seconds - (restart or 0)) / ideal if ideal else 0.0,
            calls_again=sum(one["calls"] for one in effects) - items,
            at_work_max=_at_work_max(done_at, self._work_ms / 1000),
            cpu_ms_per_item=cpu,
            cpu_ms_per_item_total=sum(ms for name, ms in cpu.items() if name != BENCH) if used else None,
            others_cpu_percent=used.others_percent if used else None,
        )

    def _kill_half_way(self, batch_id: str, items: int) -> float:
        wanted = items // 2 + 1  # a round may end at the half itself: then nothing is at work
        self._await(lambda: self._done(batch_id) >= wanted, lambda: self._done(batch_id), "half of the items are done")
        self._stack.kill("worker", signal.SIGKILL)
        return time.time()

    def _end_of(self, batch_id: str, items: int) -> float:
        case = self._await(lambda: self._closed(batch_id), lambda: self._done(batch_id), "the batch has ended")
        result = json.loads(case.result)
        if (case.outcome, result["total"]) != ("completed", items * (items + 1)):
            raise WrongResultError(f"{batch_id} ended as {case.outcome}: {result}")
        return float(case.closed_at_ms) / 1000

    def _effects(self, batch_id: str, items: int) -> list[dict[str, Any]]:
        """What the partner service did to the items of this batch: each once."""
        with httpx2.Client(trust_env=False, timeout=60) as client:
            wanted: dict[str, str | int] = {"kind": "work-items.worked-on", "limit": EFFECTS_MAX}
            answer = client.get(f"{self._stack.state.partners_url}/effects", params=wanted).raise_for_status()
        found = [one for one in answer.json()["effects"] if one["body"]["batch_id"] == batch_id]
        if sorted(one["body"]["item"] for one in found) != list(range(1, items + 1)):
            raise WrongResultError(f"{batch_id}: {len(found)} effects for {items} items")
        return found

    def _done(self, batch_id: str) -> int:
        mine = select(cases.c.instance_id).where(cases.c.key == batch_id).scalar_subquery()
        query = select(func.count()).where(steps.c.instance_id == mine, steps.c.step == "process_work_item")
        return int(self._ledger.read(lambda tx: tx.all(query))[0][0])

    def _closed(self, batch_id: str) -> Any:
        query = select(cases).where(cases.c.key == batch_id, cases.c.phase == "closed")
        return self._ledger.read(lambda tx: tx.one(query))

    def _await(self, reached: Any, moved: Any, what: str) -> Any:
        so_far, since = None, time.monotonic()
        while not (found := reached()):
            if (now := moved()) != so_far:
                so_far, since = now, time.monotonic()
            if time.monotonic() - since > STILL_SECONDS:
                raise WrongResultError(f"nothing moves any more, and not yet: {what}; logs: {self._stack.options.logs}")
            time.sleep(POLL_SECONDS)
        return found


def main(
    n: Annotated[str, typer.Option(help="Items of each batch, one batch after the other.")] = "100,1000",
    limit: Annotated[int, typer.Option(min=1, max=100, help="Items at the same time.")] = 20,
    work_ms: Annotated[int, typer.Option(min=0, help="How long the partner service works on one item.")] = 0,
    kill: Annotated[bool, typer.Option(help="Kill the worker when half of the items are done.")] = False,
    round_items: Annotated[int, typer.Option(min=1, help="Items of one run of the workflow (SAYSO_BATCH__ROUND_ITEMS).")] = 50,
    broker: Annotated[Broker, typer.Option(help="Broker of the stack.")] = "valkey",
    ledger: Annotated[LedgerKind, typer.Option(help="Ledger and, with it, the state store of the stack.")] = "sqlite",
    state_dir: Annotated[Path, typer.Option(help="Folder of the stack; on the disk that you mean to use.")] = Path(
        ".sayso/bench-batches"
    ),
    as_json_text: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Measure batches of several sizes on one stack."""
    os.environ["PARTNERS_DELAY_MS"] = str(work_ms)  # the partner service inherits it
    environment = {"SAYSO_BATCH__ROUND_ITEMS": str(round_items)}
    with running_stack(state_dir, broker=broker, ledger=ledger, env_overrides=environment, fresh=True) as stack:
        stack.wait_ready()
        shop = Shop(stack, connect(broker, stack.state.broker_address), limit, work_ms)
        try:
            shop.run("warm-up", WARM_UP, kill=False)
            figures = []
            for items in map(int, n.split(",")):
                figures.append(shop.run(f"batch-{items}", items, kill=kill))
                print(_line(figures[-1]), file=sys.stderr, flush=True)
                if kill:
                    stack.wait_ready()
        finally:
            shop.close()
    if as_json_text:
        print(json.dumps([_rounded(asdict(one)) for one in figures], indent=2))


def _submitted(batch_id: str, items: int, limit: int) -> Outgoing:
    event = {"specversion": SPEC_VERSION, "id": f"batch-{batch_id}", "source": "/bench", "type": "com.acme.batch.submitted.v1"}
    data = {"batch_id": batch_id, "count": items, "limit": limit}
    return Outgoing(batch_id, json.dumps({**event, "datacontenttype": "application/json", "data": data}).encode())


def _at_work_max(done_at: list[float], work_seconds: float) -> int:
    """Each item was at work for so long before it was done."""
    moves = sorted([(at - work_seconds, 1) for at in done_at] + [(at, -1) for at in done_at])
    most = now = 0
    for _, step in moves:
        now += step
        most = max(most, now)
    return most


def _line(one: Figures) -> str:
    text = f"{one.items:>6} items, {one.limit} at once, {one.work_ms} ms each: {one.seconds:.1f} s"
    text += f", {1000 * one.seconds / one.items:.2f} ms an item"
    if one.ideal_seconds:
        text += f", ideal {one.ideal_seconds:.1f} s, {one.over_ideal:.2f} times that"
    if one.restart_seconds is not None:
        return f"{text} without the restart of {one.restart_seconds:.1f} s; {one.calls_again} calls again"
    return f"{text}; CPU {one.cpu_ms_per_item_total:.1f} ms an item; others used {one.others_cpu_percent:.0f} % CPU"


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """To what the figures mean."""
    return {
        name: _rounded(value) if isinstance(value, dict) else round(value, 3) if isinstance(value, float) else value
        for name, value in figures.items()
    }


if __name__ == "__main__":
    try:
        typer.run(main)
    except SaysoError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
