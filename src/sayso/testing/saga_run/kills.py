"""Kills: the worker dies at once after a saga has recorded a certain step, and is started again by its supervisor.

In: a stack and the names of steps. Out: which of them a worker was killed after. Only cases that still run count, and only the last
step that each has recorded, so that the kill is between that step and the next one. Of several, the one that was seen most seldom
is taken.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from sqlalchemy import bindparam, select

from sayso.ledger import Ledger
from sayso.ledger.schema import cases, steps
from sayso.testing.stack import StackHandle

PAUSE_SECONDS = 0.001
"""After the last step of a saga only its end is left, which takes a few milliseconds."""
BETWEEN_SECONDS = 13.0
"""Seldom enough for the supervisor, which gives a process up that ends six times within a minute."""

_BETWEEN = (
    select(steps.c.step, steps.c.instance_id)
    .join(cases, cases.c.instance_id == steps.c.instance_id)
    .where(cases.c.phase == "running", steps.c.done_at_ms >= bindparam("since_ms"))
    .order_by(steps.c.done_at_ms)
)


class Killer:
    """Kills once after each of these steps."""

    def __init__(self, stack: StackHandle, ledger: Ledger, names: Iterable[str]) -> None:
        self._stack = stack
        self._ledger = ledger
        self.left = list(names)
        self.killed: list[str] = []
        self._seen: Counter[str] = Counter()
        self._since_ms = 0
        self._next_at = 0.0

    def strike(self) -> bool:
        """Kill the worker if a running case has just recorded one of the steps that are left."""
        if not self.left:
            return False
        now_ms, rows = self._ledger.read(lambda tx: (tx.now_ms, tx.all(_BETWEEN, {"since_ms": self._since_ms})))
        self._since_ms = now_ms
        last = {row.instance_id: row.step for row in rows}.values()
        self._seen.update(last)
        found = min((step for step in last if step in self.left), key=self._seen.__getitem__, default=None)
        if found is None or time.monotonic() < self._next_at:
            return False
        self._stack.kill("worker")
        self.left.remove(found)
        self.killed.append(found)
        self._next_at = time.monotonic() + BETWEEN_SECONDS
        return True
