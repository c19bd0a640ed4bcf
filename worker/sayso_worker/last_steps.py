"""Last steps: the step that ends a case is taken within the turn that asks for it.

In: a turn of a workflow, run by the SDK's executor. Out: its actions; if all that it asks for is the step that closes its case, then
that step taken and the workflow ended in the same turn. So the engine is spared a job that calls the activity, one that brings its
answer, and a turn. The step is what it is as an activity: one effect under its idempotency key, one transaction, the same when it is
run again. Whatever does not go well at once is left to the engine, which calls the activity and tries it again (ADR 0014).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from dapr.ext.workflow._durabletask import worker as sdk
from dapr.ext.workflow._durabletask.internal import helpers

from sayso.contracts.taken_in_turn import custom_status_of
from sayso_worker.steady_executor import SteadyExecutor

log = structlog.get_logger()
PLACES = 16
"""A turn holds its instance and its thread while it takes a step: a service that hangs must leave threads for the other turns."""
PLACE_SECONDS = 0.5
"""How long a turn waits for a place; healthy steps free one within milliseconds."""
SLOW_SECONDS = 2.0
REST_SECONDS = 30.0
"""After a step that failed, was slow, or got no place, the engine calls the activities for so long."""
STEPS_MAX = 4
TRIES_MIN = 100
"""A step that its workflow tries a few times only is counted by the engine."""


class LastSteps:
    """Says whether a step may be taken now, and takes it; one a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, place_seconds: float = PLACE_SECONDS) -> None:
        self._clock = clock
        self._place_seconds = place_seconds
        self._places = threading.BoundedSemaphore(PLACES)
        self._rests_until = float("-inf")

    def take(self, step: Callable[[], str | None]) -> str | None:
        """What the step answers; None when the engine is to call it."""
        if self._clock() < self._rests_until:
            return None
        if not self._places.acquire(timeout=self._place_seconds):
            self._rest()
            return None
        began = self._clock()
        try:
            answer = step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine's call meets it too, and tells the workflow
            log.info("a last step is left to the engine", error=f"{type(error).__name__}: {error}")
            self._rest()
            return None
        finally:
            self._places.release()
        if self._clock() - began > SLOW_SECONDS:
            self._rest()
        return answer

    def _rest(self) -> None:
        self._rests_until = self._clock() + REST_SECONDS


class LastStepExecutor(SteadyExecutor):
    """Runs the turns of one instance, and takes its last step."""

    last_steps = LastSteps()

    def take_turn(self, instance_id: str, old_events: Sequence[Any], new_events: Sequence[Any], propagated_history: Any) -> Any:
        """As the SDK does; when the last step could be taken, what the workflow did then. Else this turn is as it was before it."""
        outcome = super().take_turn(instance_id, old_events, new_events, propagated_history)
        actions = outcome.actions
        taken: list[tuple[str, str]] = []
        while len(taken) < STEPS_MAX and (call := self._last_step(actions)) is not None:
            answer = self.last_steps.take(lambda call=call: self._perform(instance_id, call))  # type: ignore[misc]
            if answer is None:
                return outcome
            taken.append((call.scheduleTask.input.value, answer))
            try:
                self.process_event(self._ctx, helpers.new_task_scheduled_event(call.id, call.scheduleTask.name))
                self.process_event(self._ctx, helpers.new_task_completed_event(call.id, answer))
            except Exception:  # noqa: BLE001 - a workflow that fails on it fails in the engine's turn, where it is told
                return outcome
            actions = self._ctx.get_actions()
        if not taken or not self._ctx._is_complete:
            return outcome
        return sdk.ExecutionResults(
            actions=actions,
            encoded_custom_status=custom_status_of(taken),
            version_name=outcome.version_name,
            patches=outcome.patches,
        )

    def _last_step(self, actions: Sequence[Any]) -> Any:
        """The one action, if it calls a step that closes the case, and nothing else depends on who calls it."""
        if len(actions) != 1 or not actions[0].HasField("scheduleTask"):
            return None
        if self._is_suspended or self._ctx._encoded_custom_status is not None:
            return None
        policy = getattr(self._ctx._pending_tasks.get(actions[0].id), "_retry_policy", None)
        if policy is None or policy.max_number_of_attempts < TRIES_MIN:
            return None
        given = json.loads(actions[0].scheduleTask.input.value or "null")
        return actions[0] if isinstance(given, dict) and given.get("closing") is not None else None

    def _perform(self, instance_id: str, call: Any) -> str | None:
        task = call.scheduleTask
        activity = self._registry.get_activity(task.name)
        answer: str | None = sdk._ActivityExecutor(self._logger).execute(
            activity, instance_id, task.name, call.id, task.input.value, task.taskExecutionId
        )
        return answer
