"""One workflow instance under virtual time, on the SDK's own executor: no engine, no sidecar, no waiting.

In: a workflow, its input, a table of activities; then events, and time that passes. Out: the calls it made, its result.
Invariants: as in the engine, every turn replays the whole history, event names ignore case and early events are buffered in order;
`check_replay` runs each turn once more and finds a workflow whose second run asks for something else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext
from dapr.ext.workflow._durabletask.internal import helpers, timer
from dapr.ext.workflow._durabletask.internal import protos as pb
from dapr.ext.workflow._durabletask.worker import _Registry

from sayso_worker.steady_executor import SteadyExecutor

Workflow = Callable[[DaprWorkflowContext, Any], Any]
ActivityTable = Mapping[str, Callable[[Any, Any], Any]]

ENDED: Mapping[int, str] = {
    pb.ORCHESTRATION_STATUS_COMPLETED: "COMPLETED",
    pb.ORCHESTRATION_STATUS_FAILED: "FAILED",
    pb.ORCHESTRATION_STATUS_TERMINATED: "TERMINATED",
}
_log = logging.getLogger("sayso.testing.workflow_run")
_log.setLevel(logging.WARNING)


class NotDeterministicError(AssertionError):
    """A turn asked for something else when it was run again: the engine would fail this workflow, or go astray."""


@dataclass(frozen=True)
class Call:
    """One activity call that was made: its decoded input, and what it answered (None when it failed)."""

    name: str
    input: Any
    answer: Any


@dataclass(frozen=True)
class _Turn:
    history: list[Any]
    """Of its own run; what is behind `history_length` came later."""
    history_length: int
    new_events: list[Any]
    actions: list[bytes]


class WorkflowRun:
    """A running instance. Activities answer at once, except inside `with run.busy():`."""

    def __init__(
        self,
        workflow: Workflow,
        workflow_input: Any,
        activities: ActivityTable,
        *,
        instance_id: str,
        start: datetime,
        executor: type[SteadyExecutor] = SteadyExecutor,
    ) -> None:
        self.instance_id = instance_id
        self.now = self.created_at = start.astimezone(UTC)
        self.status = "RUNNING"
        self.result: Any = None
        self.failure: str | None = None
        self.custom_status: str | None = None
        self.calls: list[Call] = []
        self.runs = 1
        """One more each time that it continued as new."""
        self._activities = activities
        self._executor = executor
        self._registry = _Registry()
        for name in activities:
            self._registry.add_named_activity(name, partial(self._called_in_turn, name))
        self._registry.add_named_orchestrator("workflow", lambda ctx, value: workflow(DaprWorkflowContext(ctx), value))
        self._history: list[Any] = []
        self._turns: list[_Turn] = []
        self._scheduled: list[tuple[int, str, str]] = []
        self._timers: dict[int, datetime] = {}
        self._busy = False
        self._turn([helpers.new_execution_started_event("workflow", instance_id, json.dumps(workflow_input))])
        self._answer_calls()

    @property
    def timers(self) -> int:
        """How many have been made and have not fired."""
        return len(self._timers)

    @property
    def has_ended(self) -> bool:
        """Whether the workflow has returned, failed or been terminated."""
        return self.status in ENDED.values()

    @property
    def call_names(self) -> list[str]:
        """The activities called, in order."""
        return [call.name for call in self.calls]

    @property
    def history(self) -> list[Any]:
        """The history, as the engine's own messages."""
        return list(self._history)

    def raise_event(self, name: str, payload: Any) -> None:
        """Raise one event; after the end it is lost, as in the engine."""
        self.raise_events((name, payload))

    def raise_events(self, *events: tuple[str, Any]) -> None:
        """Raise several, so that the workflow meets them in one turn."""
        self._turn([helpers.new_event_raised_event(name, json.dumps(payload)) for name, payload in events])
        self._answer_calls()

    def raise_text(self, name: str, text: str) -> None:
        """Raise what is no JSON, as Dapr's own API takes it."""
        self._turn([helpers.new_event_raised_event(name, text)])
        self._answer_calls()

    def suspend(self) -> None:
        """From now on what comes is kept, and time does not move it."""
        self._turn([helpers.new_suspend_event()])
        self.status = self.status if self.has_ended else "SUSPENDED"

    def resume(self) -> None:
        """Meet what has come meanwhile."""
        self.status = self.status if self.has_ended else "RUNNING"
        self._turn([helpers.new_resume_event()])
        self._answer_calls()

    def terminate(self, output: Any) -> None:
        """End it, wherever it is."""
        self._turn([helpers.new_terminated_event(encoded_output=json.dumps(output))])

    def advance(self, span: timedelta) -> None:
        """Let time pass: timers fire in order, each at its own time."""
        until = self.now + span
        while not self.has_ended and self._timers and min(self._timers.values()) <= until:
            number = min(self._timers, key=lambda number: (self._timers[number], number))
            self.now = max(self.now, self._timers.pop(number))
            self._turn([timer.new_timer_fired_event(number, self.now.replace(tzinfo=None))])
            self._answer_calls()
        self.now = max(self.now, until)

    @contextmanager
    def busy(self) -> Generator[None, None, None]:
        """Meanwhile no activity answers: what is raised here meets a workflow that waits for one."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        self._answer_calls()

    def lose_calls(self) -> None:
        """What it waits for is never answered."""
        self._scheduled.clear()

    def check_replay(self) -> None:
        """Run every turn again on its history; raise `NotDeterministicError` if one asks for something else than before."""
        for number, turn in enumerate(self._turns):
            again = self._execute(turn.history[: turn.history_length], turn.new_events).actions
            if [action.SerializeToString(deterministic=True) for action in again] != turn.actions:
                raise NotDeterministicError(f"turn {number} of {self.instance_id} asked for something else: {again}")

    def _execute(self, history: list[Any], new_events: list[Any]) -> Any:
        return self._executor(self._registry, _log).execute(self.instance_id, history, new_events)

    def _called_in_turn(self, name: str, _ctx: Any, value: Any) -> Any:
        """By an executor that takes steps itself."""
        answer = self._activities[name](None, value)
        self.calls.append(Call(name, value, answer))
        return answer

    def _turn(self, events: list[Any]) -> None:
        if self.has_ended:
            return
        new_events = [helpers.new_workflow_started_event(self.now.replace(tzinfo=None)), *events]
        outcome = self._execute(self._history, new_events)
        new_events[0].workflowStarted.version.patches.extend(outcome.patches or [])  # as daprd writes it down
        actions = [action.SerializeToString(deterministic=True) for action in outcome.actions]
        self._turns.append(_Turn(self._history, len(self._history), new_events, actions))
        self._history += new_events
        self.custom_status = outcome.encoded_custom_status or self.custom_status
        for action in sorted(outcome.actions, key=lambda action: action.id):
            self._perform(action)

    def _perform(self, action: Any) -> None:
        kind = action.WhichOneof("workflowActionType")
        if kind == "createTimer":
            fire_at = action.createTimer.fireAt
            self._history.append(pb.HistoryEvent(eventId=action.id, timerCreated=pb.TimerCreatedEvent(fireAt=fire_at)))
            if not timer.is_optional_timer_action(action):  # of a wait without end
                self._timers[action.id] = fire_at.ToDatetime(UTC)
        elif kind == "scheduleTask":
            task = action.scheduleTask
            self._history.append(helpers.new_task_scheduled_event(action.id, task.name, task.input.value))
            self._scheduled.append((action.id, task.name, task.input.value))
        elif kind == "completeWorkflow" and action.completeWorkflow.workflowStatus == pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW:
            self._continue_as_new(action.completeWorkflow)
        elif kind == "completeWorkflow" and action.completeWorkflow.workflowStatus in ENDED:
            done = action.completeWorkflow
            self.status = ENDED[done.workflowStatus]
            self.result = json.loads(done.result.value) if done.result.value else None
            self.failure = done.failureDetails.errorMessage or None
        else:
            raise NotImplementedError(f"the runner does not know how to do {kind}")

    def _continue_as_new(self, done: Any) -> None:
        """What the old run waits for is nothing to the new one; the events that it had not taken come first."""
        self.runs += 1
        self._history = []
        self._timers.clear()
        self._scheduled.clear()
        self._turn([helpers.new_execution_started_event("workflow", self.instance_id, done.result.value), *done.carryoverEvents])

    def _answer_calls(self) -> None:
        while self._scheduled and not self._busy:
            number, name, encoded = self._scheduled.pop(0)
            value = json.loads(encoded) if encoded else None
            try:
                answer = self._activities[name](None, value)
            except Exception as error:  # noqa: BLE001 - whatever an activity raises is what the engine reports
                self.calls.append(Call(name, value, None))
                self._turn([helpers.new_task_failed_event(number, error)])
            else:
                self.calls.append(Call(name, value, answer))
                self._turn([helpers.new_task_completed_event(number, json.dumps(answer))])
