"""The pulse of a stack: how many cases are open and have ended, and when nothing moved.

In: the ledger, only read. Out: the state now, and stalls: times in which cases were open and none ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select

from sayso.errors import SaysoError
from sayso.ledger import Ledger, Transaction
from sayso.ledger.schema import cases, events, outbox

BEAT_SECONDS = 1.0
STALL_SECONDS = 45.0
UNFINISHED = ("received", "held", "delivering", "delivered")


@dataclass(frozen=True)
class Beat:
    """One look: open and ended cases, events without a final state, events not published yet."""

    open: int
    ended: int
    unfinished: int
    unpublished: int

    @property
    def is_quiet(self) -> bool:
        """Nothing is left to do."""
        return not (self.open or self.unfinished or self.unpublished)


@dataclass
class Stall:
    """From when on, in seconds since the run began, for how long, and what was to be seen then."""

    after_seconds: float
    seconds: float
    seen: str


def look(ledger: Ledger) -> Beat:
    """Look now."""

    def count(tx: Transaction) -> Beat:
        phases = {row.phase: row.there for row in tx.all(_BY_PHASE)}
        ended = phases.pop("closed", 0)
        return Beat(sum(phases.values()), ended, *(int(tx.run(query).scalar_one()) for query in (_UNFINISHED, _UNPUBLISHED)))

    return ledger.read(count)


class Pulse:
    """Looks every second until it is stopped; `describe` says what to see when nothing moves."""

    def __init__(self, ledger: Ledger, describe: Callable[[], str]) -> None:
        self._ledger = ledger
        self._describe = describe
        self._began = time.monotonic()
        self._moved_at = self._began
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self.last = Beat(0, 0, 0, 0)
        self.stalls: list[Stall] = []
        self.longest_pause_seconds = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join(30)

    def wait_quiet(self, timeout_seconds: float) -> bool:
        """Wait until nothing is left to do."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            try:
                if look(self._ledger).is_quiet:
                    return True
            except SaysoError:
                pass  # the database is just being started again
            time.sleep(BEAT_SECONDS)
        return False

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            try:
                self._note(look(self._ledger), time.monotonic())
            except SaysoError:
                continue  # the database is one of the victims; the pause is counted all the same

    def _note(self, beat: Beat, now: float) -> None:
        pause = now - self._moved_at
        if beat.ended != self.last.ended or beat.open == 0:
            self._moved_at = now
            if self.stalls and not self.stalls[-1].seconds:
                self.stalls[-1].seconds = pause
        elif pause >= STALL_SECONDS and not (self.stalls and not self.stalls[-1].seconds):
            self.stalls.append(Stall(self._moved_at - self._began, 0.0, self._describe()))
        self.longest_pause_seconds = max(self.longest_pause_seconds, pause)
        self.last = beat


_BY_PHASE = select(cases.c.phase, func.count().label("there")).group_by(cases.c.phase)
_UNFINISHED = select(func.count()).select_from(events).where(events.c.state.in_(UNFINISHED))
_UNPUBLISHED = select(func.count()).select_from(outbox).where(outbox.c.published_at_ms.is_(None))
