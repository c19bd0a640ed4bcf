"""The two that are compared, and how each one's own traces say when a case waited and when it was woken.

In: a running stack. Out: times (seconds since 1970, this host's clock) by key. Both are asked for the same moments: `waiting` is when
a case asked for its approval and waits, `woken` is the effect of the first activity after the decision, `execute_approved_action`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import httpx2
from sqlalchemy import Select, func, select

from sayso.ledger import Ledger
from sayso.ledger.schema import cases, events, notices, outbox
from sayso.testing.stack import PROJECT, StackHandle

EFFECTS_MAX = 100_000


class Traces(Protocol):
    """What one contestant leaves behind. Keys of one phase share a prefix."""

    def count_waiting(self, prefix: str) -> int:
        """How many cases wait for their decision, or have waited."""

    def waiting_since(self, prefix: str) -> dict[str, float]:
        """Key → when the case began to wait."""

    def woken_at(self, prefix: str) -> dict[str, float]:
        """Key → when the approved action was executed."""

    def left_to_do(self) -> int:
        """Work that is known to be unfinished although the outcomes are out."""

    def close(self) -> None:
        """Let go of the stack."""


class ByHandTraces:
    """Reads the lines that the by-hand app's activities print."""

    LINE = re.compile(r"^(\d+\.\d+) (Sending approval request|Executing approved action) for (\S+)")

    def __init__(self, stack: StackHandle) -> None:
        self._log = stack.process("sayso").log
        self._offset = 0
        self._seen: dict[str, dict[str, float]] = {"Sending approval request": {}, "Executing approved action": {}}

    def count_waiting(self, prefix: str) -> int:
        """See `Traces`."""
        return len(self.waiting_since(prefix))

    def waiting_since(self, prefix: str) -> dict[str, float]:
        """See `Traces`: the activity before the wait has run; the wait itself begins one engine turn later."""
        return self._times("Sending approval request", prefix)

    def woken_at(self, prefix: str) -> dict[str, float]:
        """See `Traces`."""
        return self._times("Executing approved action", prefix)

    def left_to_do(self) -> int:
        """See `Traces`: the app itself knows nothing of it."""
        return 0

    def close(self) -> None:
        """See `Traces`."""

    def _times(self, words: str, prefix: str) -> dict[str, float]:
        with self._log.open("rb") as file:
            file.seek(self._offset)
            block = file.read()
        complete = block.rfind(b"\n") + 1
        self._offset += complete
        for line in block[:complete].decode(errors="replace").splitlines():
            if found := self.LINE.match(line):
                self._seen[found[2]].setdefault(found[3], float(found[1]))
        return {key: at for key, at in self._seen[words].items() if key.startswith(prefix)}


class SaysoTraces:
    """Reads the ledger, and the partner service's own list of effects."""

    def __init__(self, stack: StackHandle) -> None:
        self._ledger = Ledger(stack.state.ledger_url)
        self._partners_url = stack.state.partners_url

    def count_waiting(self, prefix: str) -> int:
        """See `Traces`."""
        return self._count(select(func.count()).where(cases.c.started_at_ms.is_not(None), cases.c.key.startswith(prefix)))

    def waiting_since(self, prefix: str) -> dict[str, float]:
        """See `Traces`: the engine has answered the start, so the workflow has taken its first turn, and the ledger knows it."""
        query = select(cases.c.key, cases.c.started_at_ms).where(cases.c.started_at_ms.is_not(None), cases.c.key.startswith(prefix))
        return {row.key: row.started_at_ms / 1000 for row in self._ledger.read(lambda tx: tx.all(query))}

    def woken_at(self, prefix: str) -> dict[str, float]:
        """See `Traces`: the partner service writes the time inside the transaction that performs the effect."""
        with httpx2.Client(trust_env=False, timeout=60) as client:
            answer = client.get(f"{self._partners_url}/effects", params={"limit": EFFECTS_MAX}).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["effects"]
        times = {effect["body"]["request_id"]: datetime.fromisoformat(effect["performed_at"]).timestamp() for effect in found}
        return {key: at for key, at in times.items() if key.startswith(prefix)}

    def left_to_do(self) -> int:
        """See `Traces`: rows of the ledger that are still due, notices among them."""
        return sum(
            self._count(select(func.count()).where(table.c.due_at_ms.is_not(None))) for table in (events, cases, outbox, notices)
        )

    def count_repetitions(self) -> int:
        """How many messages came again and were counted on their original."""
        return self._count(select(func.coalesce(func.sum(events.c.sightings - 1), 0)))

    def close(self) -> None:
        """See `Traces`."""
        self._ledger.close()

    def _count(self, query: Select[Any]) -> int:
        return int(self._ledger.read(lambda tx: tx.all(query))[0][0])


@dataclass(frozen=True)
class Contestant:
    """One of the two: its project folder for the stack, how to read it, where an outcome's data has its key and verdict."""

    name: str
    title: str
    project: Path
    traces: Callable[[StackHandle], Traces]
    key_field: str
    verdict_field: str
    labels: Mapping[str, str] = field(default_factory=dict)


BY_HAND = Contestant(
    name="byhand",
    title="by hand",
    project=Path(__file__).parent / "byhand",
    traces=ByHandTraces,
    key_field="request_id",
    verdict_field="status",
    labels={"sayso": "by-hand app"},
)
SAYSO = Contestant(name="sayso", title="Sayso", project=PROJECT, traces=SaysoTraces, key_field="key", verdict_field="outcome")
CONTESTANTS = {contestant.name: contestant for contestant in (BY_HAND, SAYSO)}
