"""Faults in front of an engine or a publisher, real or in memory: the next calls fail before or after they took effect.

In: an adapter. Out: the same port, a record of its calls, and `fail_next`. A failure after the effect is a lost answer.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sayso.engine import Engine, HistoryEntry, InstanceState
from sayso.errors import TransientError
from sayso.publisher import Message, Publisher

T = TypeVar("T")


class Faults:
    """Which calls fail next."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """Names of the calls that were made, in order, failed ones too."""
        self._faults: dict[str, deque[tuple[bool, Exception]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def fail_next(self, call: str, times: int = 1, *, after: bool = False, error: Exception | None = None) -> None:
        """Let the next calls of this name fail, before or after their effect."""
        with self._lock:
            self._faults[call] += [(after, error or TransientError(f"{call}: no answer"))] * times

    def _call(self, name: str, effect: Callable[[], T]) -> T:
        with self._lock:
            self.calls.append(name)
            fault = self._faults[name].popleft() if self._faults[name] else None
        if fault is not None and not fault[0]:
            raise fault[1]
        answer = effect()
        if fault is not None:
            raise fault[1]
        return answer


class FaultyEngine(Faults):
    """An `Engine` in front of another one."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def start(self, workflow: str, instance_id: str, case_input: dict[str, Any]) -> None:
        """See `Engine.start`."""
        self._call("start", lambda: self._engine.start(workflow, instance_id, case_input))

    def raise_event(self, instance_id: str, name: str, payload: dict[str, Any]) -> None:
        """See `Engine.raise_event`."""
        self._call("raise_event", lambda: self._engine.raise_event(instance_id, name, payload))

    def purge(self, instance_id: str) -> None:
        """See `Engine.purge`."""
        self._call("purge", lambda: self._engine.purge(instance_id))

    def state(self, instance_id: str) -> InstanceState | None:
        """See `Engine.state`."""
        return self._call("state", lambda: self._engine.state(instance_id))

    def history(self, instance_id: str) -> Sequence[HistoryEntry]:
        """See `Engine.history`."""
        return self._call("history", lambda: self._engine.history(instance_id))

    def discard(self, instance_id: str) -> None:
        """See `Engine.discard`."""
        self._call("discard", lambda: self._engine.discard(instance_id))

    def suspend(self, instance_id: str) -> None:
        """See `Engine.suspend`."""
        self._call("suspend", lambda: self._engine.suspend(instance_id))

    def resume(self, instance_id: str) -> None:
        """See `Engine.resume`."""
        self._call("resume", lambda: self._engine.resume(instance_id))

    def terminate(self, instance_id: str, output: str) -> None:
        """See `Engine.terminate`."""
        self._call("terminate", lambda: self._engine.terminate(instance_id, output))

    def instance_ids(self) -> Iterator[str]:
        """See `Engine.instance_ids`."""
        return self._call("instance_ids", self._engine.instance_ids)


class FaultyPublisher(Faults):
    """A `Publisher` in front of another one; `refuse_next` makes single entries fail."""

    def __init__(self, publisher: Publisher) -> None:
        super().__init__()
        self._publisher = publisher
        self._refused = 0

    def refuse_next(self, entries: int) -> None:
        """The broker takes every second message only, until it has refused so many."""
        self._refused = entries

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        return self._call("publish", lambda: self._publish(topic, messages))

    def _publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        refused = {message.reference: "the broker refused it" for message in messages[::2][: self._refused]}
        self._refused -= len(refused)
        return refused | self._publisher.publish(topic, [message for message in messages if message.reference not in refused])
