"""Figures: how large everything is at one moment of a run.

In: a stack, its ledger and engine, the case. Out: a `Point`. The history is the largest of some looks, because a run is short.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table, func, select

from sayso.engine import DaprEngine
from sayso.errors import SaysoError
from sayso.ledger import Ledger
from sayso.ledger.schema import audit, events, outbox, steps
from sayso.testing.stack import StackHandle

LOOKS = 12
LOOK_SECONDS = 0.03
MIB = 1024 * 1024


@dataclass(frozen=True)
class Point:
    """At so many checks."""

    checks: int
    events_sent: int
    history_events: int
    history_bytes: int
    worker_mib: float
    subscribers_mib: float
    daprd_mib: float
    step_rows: int
    event_rows: int
    outbox_rows: int
    audit_rows: int
    ledger_mib: float


def measure(stack: StackHandle, ledger: Ledger, engine: DaprEngine, instance_id: str, checks: int, events_sent: int) -> Point:
    """Look now."""
    longest, largest = 0, 0
    for _ in range(LOOKS):
        try:
            history = engine.messages(instance_id)
        except SaysoError:
            history = []
        longest = max(longest, len(history))
        largest = max(largest, sum(event.ByteSize() for event in history))
        time.sleep(LOOK_SECONDS)
    rss = {name: process.memory_info().rss / MIB for name, process in stack.processes().items()}
    steps_, events_, outbox_, audit_ = (_rows(ledger, table) for table in (steps, events, outbox, audit))
    return Point(
        checks,
        events_sent,
        longest,
        largest,
        rss.get("worker", 0),
        rss.get("subscribers", 0),
        rss.get("daprd", 0),
        steps_,
        events_,
        outbox_,
        audit_,
        _ledger_mib(stack.state.ledger_url),
    )


def _rows(ledger: Ledger, table: Table) -> int:
    found = ledger.read(lambda tx: tx.one(select(func.count()).select_from(table)))
    return int(found[0]) if found is not None else 0


def _ledger_mib(url: str) -> float:
    path = Path(url.removeprefix("sqlite:///"))
    files = [path.with_name(path.name + suffix) for suffix in ("", "-wal")] if url.startswith("sqlite") else []
    return sum(file.stat().st_size for file in files if file.exists()) / MIB
