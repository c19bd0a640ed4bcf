"""The scheduler: production code as greenlets in one thread, switched, slowed down and killed between any two effects.

In: functions, each belonging to a process. At each `point` that a port passes, seeded dice say what happens: go on, let others run
first, let time pass, or kill the whole process. Invariant: the same seed makes the same choices in the same order.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from greenlet import getcurrent, greenlet

from sayso.simulator.clock import VirtualClock


class Killed(BaseException):
    """The process was killed with -9."""


class NeverAtRestError(Exception):
    """There is still something to do, long after there should be nothing."""


@dataclass
class Weather:
    """How often things go wrong, as probabilities at each point or delivery. Drawn for each seed.

    `slow` is how often somebody pauses, `pauses_ms` for how long.
    """

    switch: float = 0.2
    slow: float = 0.004
    crash: float = 0.001
    lost_answer: float = 0.02
    engine_down: float = 0.01
    ledger_down: float = 0.002
    lost_ack: float = 0.1
    duplicate: float = 0.4
    delay: float = 0.3
    jump: float = 0.01
    amnesia: float = 0.0
    taken_in_turn: float = 0.0
    """How often a worker takes a last step within its turn."""
    notices: bool = True
    pauses_ms: tuple[int, ...] = (50, 1_000, 5_000, 30_000)

    def calm_down(self) -> None:
        """From now on nothing goes wrong any more."""
        self.slow = self.crash = self.lost_answer = self.engine_down = self.ledger_down = 0.0
        self.lost_ack = self.duplicate = self.delay = self.jump = self.amnesia = 0.0


@dataclass(eq=False)
class Process:
    """One replica of subscribers or worker. `in_hand` says what happens to what it has begun if it dies."""

    name: str
    alive: bool = True
    actors: dict[Actor, None] = field(default_factory=dict)
    in_hand: dict[object, Callable[[], None]] = field(default_factory=dict)


class Actor(greenlet):  # type: ignore[misc]
    """One thread of a process."""

    process: Process


class Scheduler:
    """Runs actors until none can go on; time is moved by whoever calls `run`."""

    def __init__(self, rng: random.Random, clock: VirtualClock, weather: Weather) -> None:
        self.rng = rng
        self.clock = clock
        self.weather = weather
        self.crashes = 0
        self.points = 0
        self.turns = 0
        self.steps_max = 0
        self._ready: list[Actor] = []
        self._asleep: list[tuple[int, int, Actor]] = []
        self._numbers = count()
        self._main = getcurrent()
        self.on_crash: Callable[[Process], None] = lambda _process: None

    def spawn(self, process: Process, run: Callable[[], object]) -> None:
        """Let `run` be a thread of `process`."""
        actor = Actor(run, parent=self._main)
        actor.process = process
        process.actors[actor] = None
        self._ready.append(actor)

    def point(self) -> None:
        """Something is about to happen, or has just happened, outside the process that is running."""
        actor = getcurrent()
        if not isinstance(actor, Actor):
            return
        self.points += 1
        weather = self.weather
        dice = self.rng.random()
        if dice < weather.switch:
            self._ready.append(actor)
            self._main.switch()
        elif dice < weather.switch + weather.slow:
            self.sleep(self.rng.choice(weather.pauses_ms))
        elif dice < weather.switch + weather.slow + weather.crash:
            self.kill(actor.process)

    def sleep(self, span_ms: int) -> None:
        """Let others run, and time pass."""
        actor = getcurrent()
        assert isinstance(actor, Actor)
        heapq.heappush(self._asleep, (self.clock.now_ms + span_ms, next(self._numbers), actor))
        self._main.switch()

    def kill(self, process: Process) -> None:
        """End every thread of the process, at the points where they are."""
        self.crashes += 1
        process.alive = False
        current = getcurrent()
        for actor in list(process.actors):
            if actor is not current:
                self._end(actor)
        self._ready = [actor for actor in self._ready if actor.process is not process]
        self._asleep = [entry for entry in self._asleep if entry[2].process is not process]
        heapq.heapify(self._asleep)
        process.actors = {actor: None for actor in process.actors if actor is current}
        for given_back in list(process.in_hand.values()):
            given_back()
        process.in_hand.clear()
        self.on_crash(process)
        if isinstance(current, Actor) and current.process is process:
            raise Killed

    def _end(self, actor: Actor) -> None:
        if actor.gr_frame is None:  # never ran
            return
        actor.parent = getcurrent()
        with suppress(Killed):
            actor.throw(Killed)

    def run(self) -> None:
        """Until every actor has ended or sleeps."""
        rng = self.rng
        while True:
            ready = self._ready
            if not ready:
                return
            self.take_turn()
            number = int(rng.random() * len(ready))
            actor = ready[number]
            ready[number] = ready[-1]
            ready.pop()
            try:  # noqa: SIM105 - this is the inner loop
                actor.switch()
            except Killed:
                pass
            if actor.dead:
                actor.process.actors.pop(actor, None)

    def take_turn(self) -> None:
        """Every turn counts, and every point that was passed in it: a run that goes on and on ends here."""
        self.turns += 1
        if self.steps > self.steps_max:
            raise NeverAtRestError

    @property
    def steps(self) -> int:
        """How much has happened."""
        return self.turns + self.points

    def next_wake_ms(self) -> int | None:
        """When the first sleeper wakes."""
        return self._asleep[0][0] if self._asleep else None

    def wake_sleepers(self) -> None:
        """Make ready whose time has come."""
        while self._asleep and self._asleep[0][0] <= self.clock.now_ms:
            self._ready.append(heapq.heappop(self._asleep)[2])
