"""Strikes: one thing that is done to a running stack, and its undoing.

In: a seeded generator and what there is to strike. Out: `Strike`s, and a `Striker` that carries them out: kill -9, SIGSTOP for a
while, asked to end, a cut connection, everything killed at once, a rolling restart. Whatever is stopped or cut is let go again.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import psutil

from sayso.errors import SaysoError
from sayso.stack import postgresql
from sayso.stack.state import ProcessStatus
from sayso.stack.toxiproxy import NAME as TOXIPROXY
from sayso.testing.fault_run.partitions import Partitions
from sayso.testing.stack import StackHandle

KINDS: Mapping[str, int] = MappingProxyType({"kill": 76, "pause": 10, "cut": 8, "restart": 4, "kill all": 1, "rolling restart": 1})
"""How often each, in a hundred."""

LASTS_SECONDS = (1.0, 15.0)
"""How long a pause or a cut lasts: beyond leases, session time-outs and calls' deadlines, and below all of them."""

SPARED_SECONDS = 20.0
"""Nobody is struck again sooner: the supervisor gives up on what crashes more than five times a minute."""

ROLLING = ("subscribers", "worker", "daprd")
READY_AGAIN_SECONDS = 240.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Strike:
    """What is done to whom; `seconds` is how long it lasts, where it lasts."""

    kind: str
    victims: tuple[str, ...]
    seconds: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.kind} {' '.join(self.victims) if len(self.victims) < 4 else ''}".rstrip() + lasting


@dataclass
class Tally:
    """What was done, for the report."""

    strikes: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    paused: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    """Asked to end, by SIGTERM."""


class Plan:
    """Which strikes come: the same ones for the same seed and the same stack."""

    def __init__(self, seed: int, processes: Sequence[str], connections: Sequence[str]) -> None:
        self._kinds = [kind for kind in KINDS if kind != "cut" or connections]
        self._chance = random.Random(f"strikes {seed}")  # noqa: S311 - it must be the same again
        self._processes = [name for name in processes if name != TOXIPROXY]
        self._connections = list(connections)

    def strikes(self) -> Iterator[Strike]:
        """Without end."""
        weights = [KINDS[kind] for kind in self._kinds]
        while True:
            yield self._strike(self._chance.choices(self._kinds, weights)[0])

    def pause_seconds(self, mean: float) -> float:
        """Until the next strike: now and then two meet, mostly the stack is on its feet again."""
        return self._chance.uniform(0.2 * mean, 1.8 * mean)

    def _strike(self, kind: str) -> Strike:
        if kind in ("kill all", "rolling restart"):
            every = [name for name in self._processes if kind == "kill all" or name.partition("-")[0] in ROLLING]
            return Strike(kind, tuple(every))
        seconds = self._chance.uniform(*LASTS_SECONDS) if kind in ("pause", "cut") else 0.0
        return Strike(kind, (self._chance.choice(self._connections if kind == "cut" else self._processes),), seconds)


class Striker:
    """Strikes one stack."""

    def __init__(self, stack: StackHandle, partitions: Partitions | None) -> None:
        self._stack = stack
        self._partitions = partitions
        self._struck: dict[str, float] = {}
        self.tally = Tally()

    def strike(self, strike: Strike) -> bool:
        """Do it, and undo what lasts; False when its victims are to be spared, or are down already."""
        if strike.kind == "cut":
            self._cut(strike)
        else:
            running = self._stack.processes()
            now = time.monotonic()
            victims = [name for name in strike.victims if name in running]
            if strike.kind != "kill all" and not all(name in running and self._may_strike(name) for name in strike.victims):
                return False
            self._struck.update(dict.fromkeys(victims, now + SPARED_SECONDS))
            if strike.kind == "rolling restart":
                self._roll(victims)
            elif strike.kind == "pause":
                self._pause([running[name] for name in victims], strike.seconds)
                self.tally.paused.update(victims)
            else:
                self._end(strike.kind, {name: running[name] for name in victims})
        self.tally.strikes[strike.kind] += 1
        return True

    def _may_strike(self, name: str) -> bool:
        """Whoever is on his feet again: on a busy machine a broker that is killed whenever it begins to start never starts."""
        return self._stack.process(name).status is ProcessStatus.READY and time.monotonic() >= self._struck.get(name, 0.0)

    def _end(self, kind: str, victims: Mapping[str, psutil.Process]) -> None:
        for name, process in victims.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                if kind == "restart":
                    process.send_signal(postgresql.STOP_SIGNAL if name == postgresql.NAME else signal.SIGTERM)
                    self.tally.ended[name] += 1
                else:
                    process.kill()
                    self.tally.killed[name] += 1

    def _pause(self, processes: Sequence[psutil.Process], seconds: float) -> None:
        """With their families: PostgreSQL answers through its children."""
        family = [member for process in processes for member in (process, *process.children(recursive=True))]
        try:
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.suspend()
            time.sleep(seconds)
        finally:
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.resume()

    def _cut(self, strike: Strike) -> None:
        assert self._partitions is not None, "there are no connections to choose from without it"
        (connection,) = strike.victims
        self._partitions.cut(connection)
        try:
            time.sleep(strike.seconds)
        finally:
            self._partitions.heal(connection)
        self.tally.cut[connection] += 1

    def _roll(self, victims: Sequence[str]) -> None:
        """One after the other, each ready again before the next is asked to end: as a rollout does."""
        for name in sorted(victims, key=lambda name: (name.partition("-")[2], ROLLING.index(name.partition("-")[0]))):
            before = self._stack.processes()[name]
            before.terminate()
            self.tally.ended[name] += 1
            self._await_next(name, before.pid)

    def _await_next(self, name: str, pid: int) -> None:
        """Until the supervisor has found the next process of this name ready; a probe of our own might starve on a busy machine."""
        deadline = time.monotonic() + READY_AGAIN_SECONDS
        while (now := self._stack.process(name)).pid == pid or now.status is not ProcessStatus.READY:
            if time.monotonic() > deadline:
                raise SaysoError(
                    f"{name} was asked to end, and is not back after {READY_AGAIN_SECONDS:.0f} s: {now.status} {now.detail}"
                )
            time.sleep(POLL_SECONDS)
