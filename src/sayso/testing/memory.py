"""Engine and broker in memory: the real workflows and activities run, under a clock that tests move.

In: what the dispatcher calls. Out: instances under virtual time, and what was published. Invariant: they behave as the real ones do
(tests/integration/test_dapr_facts.py): a start of an ended id runs it again, a raise to an ended one is lost, events of an
unknown one are an error.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sayso.engine import (
    DISCARDED,
    NO_SUCH_INSTANCE,
    UNREADABLE,
    HistoryEntry,
    InstanceState,
    NoSuchInstanceError,
    UnreadableInstanceError,
)
from sayso.errors import TransientError
from sayso.publisher import Message
from sayso.testing.workflow_run import ActivityTable, Workflow, WorkflowRun

CALL_BYTES_MAX = 4 * 1024 * 1024
"""What the sidecar takes in one call."""


class MemoryEngine:
    """An `Engine`. Instances run inside the calls; one lock keeps their turns apart."""

    def __init__(self, workflows: Mapping[str, Workflow], activities: ActivityTable) -> None:
        self.runs: dict[str, WorkflowRun] = {}
        self._workflows = workflows
        self._activities = activities
        self._unreadable: set[str] = set()
        self._lock = threading.RLock()

    def start(self, workflow: str, instance_id: str, case_input: dict[str, Any]) -> None:
        """See `Engine.start`."""
        with self._lock:
            found = self._run(instance_id)
            if found is None or found.has_ended:
                self.runs[instance_id] = WorkflowRun(
                    self._workflows[workflow], case_input, self._activities, instance_id=instance_id, start=datetime.now(UTC)
                )

    def raise_event(self, instance_id: str, name: str, payload: dict[str, Any]) -> None:
        """See `Engine.raise_event`."""
        with self._lock:
            run = self._run(instance_id)
            if run is None:
                raise NoSuchInstanceError(NO_SUCH_INSTANCE)
            run.raise_event(name, payload)

    def state(self, instance_id: str) -> InstanceState | None:
        """See `Engine.state`."""
        with self._lock:
            run = self._run(instance_id)
            if run is None:
                return None
            return InstanceState(
                status=run.status,
                created_at=run.created_at,
                updated_at=run.now,
                custom_status=run.custom_status,
                output=run.result,
                failure=run.failure,
            )

    def history(self, instance_id: str) -> Sequence[HistoryEntry]:
        """See `Engine.history`."""
        with self._lock:
            run = self._run(instance_id)
            if run is None:
                raise NoSuchInstanceError(NO_SUCH_INSTANCE)
            return [HistoryEntry.of(event) for event in run.history]

    def discard(self, instance_id: str) -> None:
        """See `Engine.discard`."""
        with self._lock:
            run = self._run(instance_id)
            assert run is not None
            run.status, run.result = "TERMINATED", DISCARDED

    def purge(self, instance_id: str) -> None:
        """See `Engine.purge`. Dapr refuses to purge one that runs."""
        with self._lock:
            run = self._run(instance_id)
            if run is not None and not run.has_ended:
                raise TransientError(f"{instance_id} has not ended")
            self.runs.pop(instance_id, None)

    def suspend(self, instance_id: str) -> None:
        """See `Engine.suspend`."""
        with self._lock:
            self._known(instance_id).suspend()

    def resume(self, instance_id: str) -> None:
        """See `Engine.resume`."""
        with self._lock:
            self._known(instance_id).resume()

    def terminate(self, instance_id: str, output: str) -> None:
        """See `Engine.terminate`."""
        with self._lock:
            self._known(instance_id).terminate(output)

    def _known(self, instance_id: str) -> WorkflowRun:
        if instance_id not in self.runs:
            raise NoSuchInstanceError(NO_SUCH_INSTANCE)
        return self.runs[instance_id]

    def instance_ids(self) -> Iterator[str]:
        """See `Engine.instance_ids`."""
        with self._lock:
            yield from list(self.runs)

    def forget(self, instance_id: str) -> None:
        """Lose an instance, as a wiped state store does."""
        with self._lock:
            del self.runs[instance_id]

    def spoil(self, instance_id: str) -> None:
        """Lose a part of what is stored of an instance: from now on no call can do anything with it."""
        with self._lock:
            self._unreadable.add(instance_id)

    def _run(self, instance_id: str) -> WorkflowRun | None:
        if instance_id in self._unreadable:
            raise UnreadableInstanceError(f"{instance_id}: a history key is {UNREADABLE}")
        return self.runs.get(instance_id)

    def advance(self, span: timedelta) -> None:
        """Let time pass for every instance."""
        with self._lock:
            for run in self.runs.values():
                run.advance(span)

    def check_replays(self) -> None:
        """Every instance would do the same again."""
        with self._lock:
            for run in self.runs.values():
                run.check_replay()


class MemoryPublisher:
    """A `Publisher` that keeps what it published: topic, key, and the event."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        """The same, as they were given."""
        self._lock = threading.Lock()

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        if sum(len(message.body) for message in messages) > CALL_BYTES_MAX:
            raise TransientError(f"publishing to {topic} failed: larger than max")
        with self._lock:
            self.bodies += [message.body for message in messages]
            self.published += [(topic, message.key, json.loads(message.body)) for message in messages]
        return {}

    def on(self, topic: str) -> list[dict[str, Any]]:
        """The events on this topic, in order."""
        with self._lock:
            return [event for where, _, event in self.published if where == topic]
