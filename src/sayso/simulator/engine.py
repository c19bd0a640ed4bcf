"""The simulated engine: instances, timers, activities handed to workers, all at least once and in virtual time.

In: what the dispatcher calls. Out: the same answers as Dapr's (tests/integration/test_dapr_facts.py): a start of an ended id runs it
again, a raise to an ended one is lost, one to an unknown one is an error. A call fails, before or after its effect, as the weather
has it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sayso.engine import DISCARDED, NO_SUCH_INSTANCE, HistoryEntry, InstanceState, NoSuchInstanceError
from sayso.errors import TransientError
from sayso.simulator.clock import EPOCH
from sayso.simulator.instance import Asked, Entry, Instance, Workflow
from sayso.simulator.scheduler import Scheduler

RETRY_FIRST_MS = 1_000
RETRY_MAX_MS = 60_000


@dataclass(eq=False, slots=True)
class Call:
    """An activity that a workflow asked for and that has not been answered yet."""

    instance: Instance
    asked: Asked
    attempt: int = 0
    failures: int = 0


@dataclass(eq=False, slots=True)
class LastStep:
    """The step that ends a case, to be taken by a worker within the turn that asked for it; the instance has its lock meanwhile."""

    instance: Instance
    asked: Asked
    entry: tuple[str, Any] | None
    """What the turn is about; None: the beginning."""
    before: tuple[int, int]
    """How many entries and wishes the instance had before the turn."""
    came: list[tuple[str, Any]] = field(default_factory=list)
    """What has come for it meanwhile."""


class SimulatedEngine:
    """An `Engine`; `activities` and `last_steps` wait for workers, `tick` lets time pass."""

    def __init__(self, workflows: Mapping[str, Workflow], scheduler: Scheduler) -> None:
        self.instances: dict[str, Instance] = {}
        self.activities: deque[Call] = deque()
        self.last_steps: deque[LastStep] = deque()
        self._in_turn: dict[Instance, LastStep] = {}
        self._workflows = workflows
        self._scheduler = scheduler
        self._clock = scheduler.clock
        self._inbox: deque[tuple[Instance, str, Any]] = deque()
        self._begun: deque[Instance] = deque()
        self._timers: list[tuple[int, int, Instance, Any]] = []
        self._timer_numbers = 0

    def start(self, workflow: str, instance_id: str, case_input: dict[str, Any]) -> None:
        """See `Engine.start`."""
        self._before()
        found = self.instances.get(instance_id)
        if found is None or found.status != "RUNNING":
            instance = Instance(self._workflows[workflow], instance_id, case_input, self._clock.now)
            self.instances[instance_id] = instance
            self._begun.append(instance)
        self._after()

    def raise_event(self, instance_id: str, name: str, payload: dict[str, Any]) -> None:
        """See `Engine.raise_event`."""
        self._before()
        instance = self.instances.get(instance_id)
        if instance is None:
            raise NoSuchInstanceError(NO_SUCH_INSTANCE)
        self._inbox.append((instance, "raised", (name, payload)))
        self._after()

    def state(self, instance_id: str) -> InstanceState | None:
        """See `Engine.state`."""
        self._before()
        found = self.instances.get(instance_id)
        if found is None:
            return None
        return InstanceState(
            status=found.status,
            created_at=found.created_at,
            updated_at=found.updated_at,
            custom_status=found.custom_status,
            output=found.output,
            failure=found.failure,
        )

    def history(self, instance_id: str) -> Sequence[HistoryEntry]:
        """See `Engine.history`."""
        self._before()
        found = self.instances.get(instance_id)
        if found is None:
            raise NoSuchInstanceError(NO_SUCH_INSTANCE)
        return [HistoryEntry(at, "EVENT_RAISED", *content) for at, kind, content in found.history if kind == "raised"]

    def suspend(self, instance_id: str) -> None:
        """Operators do not act in simulations."""
        raise NotImplementedError(instance_id)

    def resume(self, instance_id: str) -> None:
        """Operators do not act in simulations."""
        raise NotImplementedError(instance_id)

    def terminate(self, instance_id: str, output: str) -> None:
        """Operators do not act in simulations."""
        raise NotImplementedError(f"{instance_id}: {output}")

    def instance_ids(self) -> Iterator[str]:
        """See `Engine.instance_ids`."""
        yield from list(self.instances)

    def purge(self, instance_id: str) -> None:
        """See `Engine.purge`."""
        self._before()
        found = self.instances.get(instance_id)
        if found is not None and found.status != "RUNNING":
            del self.instances[instance_id]
        self._after()

    def discard(self, instance_id: str) -> None:
        """See `Engine.discard`."""
        self._before()
        found = self.instances.get(instance_id)
        if found is not None and found.status == "RUNNING":
            found.status, found.output = "TERMINATED", DISCARDED
        self._after()

    def lose(self, share: float) -> int:
        """Lose instances, as a state store does that was put back to an earlier day. Returns how many."""
        rng = self._scheduler.rng
        lost = [name for name, instance in self.instances.items() if instance.status == "RUNNING" and rng.random() < share]
        for name in lost:
            self.instances.pop(name).status = "LOST"
        return len(lost)

    def take_turns(self) -> None:
        """Let instances see what has come; a worker is connected."""
        while self._begun or self._inbox:
            while self._begun:
                instance = self._begun.popleft()
                self._perform(instance, instance.begin(), None, (0, 0))
            if self._inbox:
                instance, kind, content = self._inbox.popleft()
                if instance in self._in_turn:
                    self._in_turn[instance].came.append((kind, content))
                    continue
                entry: Entry = (self._clock.now, kind, content)
                before = (len(instance.history), len(instance.asked))
                self._perform(instance, instance.take(entry), (kind, content), before)

    @property
    def has_turns(self) -> bool:
        """Whether something has come for an instance."""
        return bool(self._begun or self._inbox)

    def fire_timers(self) -> None:
        """Those whose time has come."""
        while self._timers and self._timers[0][0] <= self._clock.now_ms:
            _, _, instance, what = heapq.heappop(self._timers)
            if isinstance(what, Call):
                self.activities.append(what)
            elif instance.status == "RUNNING":
                self._inbox.append((instance, "fired", (what, None)))

    def next_timer_ms(self) -> int | None:
        """When the next timer fires that somebody still waits for."""
        while self._timers and self._timers[0][2].status != "RUNNING":
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def answer(self, call: Call, answer: Any) -> None:
        """A worker has done the activity."""
        self._inbox.append((call.instance, "answered", (call.asked.number, answer)))

    def failed(self, call: Call, error: Exception) -> None:
        """A worker could not do it: later again, as often as the retry policy says; then the workflow is told."""
        call.failures += 1
        if call.asked.attempts is None or call.failures < call.asked.attempts:
            self.try_again(call)
        else:
            words = (type(error).__name__, str(error))
            self._inbox.append((call.instance, "failed", (call.asked.number, words)))

    def try_again(self, call: Call) -> None:
        """Nobody has answered it, or it failed: later again."""
        call.attempt += 1
        delay_ms = min(RETRY_FIRST_MS * 2 ** min(call.attempt, 10), RETRY_MAX_MS)
        self._at(self._clock.now_ms + delay_ms, call.instance, call)

    def forget_generators(self) -> None:
        """The workers are gone; what they had in memory is replayed when it is needed."""
        for instance in self.instances.values():
            if instance.status == "RUNNING":
                instance.forget()

    def end_turn(self, step: LastStep, answer: Any) -> None:
        """A worker has taken the step, and this ends the instance, or the engine calls the activity."""
        self._let_go(step)
        instance = step.instance
        if instance.status == "RUNNING" and not instance.take_in_turn(step.asked, answer, self._clock.now):
            self.activities.append(Call(instance, step.asked))

    def leave_to_engine(self, step: LastStep) -> None:
        """It did not go well: the turn ends with what it asked for."""
        self._let_go(step)
        self.activities.append(Call(step.instance, step.asked))

    def undo_turn(self, step: LastStep) -> None:
        """The worker is gone, or its answer was lost: the turn was never stored, and is run again, before what came meanwhile."""
        self._let_go(step)
        if step.instance.status != "RUNNING":
            return
        step.instance.undo(*step.before)
        if step.entry is None:
            self._begun.appendleft(step.instance)
        else:
            self._inbox.appendleft((step.instance, *step.entry))

    def _let_go(self, step: LastStep) -> None:
        del self._in_turn[step.instance]
        self._inbox.extendleft((step.instance, *came) for came in reversed(step.came))

    def _is_taken_in_turn(self, instance: Instance, asked: list[Asked]) -> bool:
        share = self._scheduler.weather.taken_in_turn
        if not share or len(asked) != 1 or asked[0].activity is None or asked[0].attempts is not None or instance.runs > 1:
            return False
        return asked[0].content.get("closing") is not None and self._scheduler.rng.random() < share

    def _perform(self, instance: Instance, asked: list[Asked], entry: tuple[str, Any] | None, before: tuple[int, int]) -> None:
        if self._is_taken_in_turn(instance, asked):
            step = self._in_turn[instance] = LastStep(instance, asked[0], entry, before)
            self.last_steps.append(step)
            return
        for each in asked:
            if each.activity is not None:
                self.activities.append(Call(instance, each))
            else:
                moment: datetime = each.content
                self._at((moment - EPOCH) // timedelta(milliseconds=1), instance, each.number)

    def _at(self, at_ms: int, instance: Instance, what: Any) -> None:
        self._timer_numbers += 1
        heapq.heappush(self._timers, (at_ms, self._timer_numbers, instance, what))

    def _before(self) -> None:
        self._scheduler.point()
        if self._scheduler.rng.random() < self._scheduler.weather.engine_down:
            raise TransientError("the engine did not answer (UNAVAILABLE)")

    def _after(self) -> None:
        self._scheduler.point()
        if self._scheduler.rng.random() < self._scheduler.weather.lost_answer:
            raise TransientError("the engine did not answer (DEADLINE_EXCEEDED)")
