"""Replaying a recorded history against today's code, to see whether a case in flight would go on.

In: a history, as daprd kept it, and the workflow's versions of today. Out: nothing, or a `ChangedError` that names the step that
differs. Each turn is replayed by the SDK's own executor on what daprd had recorded before it, exactly as a new worker would, and must
ask for the same: the same activities under the same idempotency keys, the same waits and timers, the same kind of end. What an
activity is given besides, how long a timer is and what the workflow returns may change.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext
from dapr.ext.workflow._durabletask.internal import helpers, timer
from dapr.ext.workflow._durabletask.internal import protos as pb
from dapr.ext.workflow._durabletask.worker import _Registry
from google.protobuf import json_format

from sayso.testing.workflow_run import ENDED, Workflow
from sayso_worker.steady_executor import SteadyExecutor

ANSWERS = frozenset({"timerCreated", "taskScheduled", "childWorkflowInstanceCreated", "executionCompleted"})
"""What daprd records of a turn's own wishes; everything else has come to it."""
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)


class ChangedError(AssertionError):
    """Today's code asks for something else than was recorded: it would break cases that are in flight."""


@dataclass(frozen=True)
class _Turn:
    """Everything before it, what came to it, and what it asked for: number → in words."""

    before: list[Any]
    came: list[Any]
    asked: dict[int, str]


def replay(name: str, versions: Mapping[str, Workflow], history: Sequence[Any]) -> int:
    """Replay every turn with the version that the history names; returns how many there were. `name` is for the message."""
    registry = _Registry()
    started = next(event.executionStarted for event in history if event.HasField("executionStarted"))
    for version, workflow in versions.items():
        registry.add_named_orchestrator(started.name, _wrapped(workflow), version, version == list(versions)[-1])
    number = 0
    for number, turn in enumerate(_turns(history), start=1):
        new = helpers.new_workflow_started_event(turn.came[0].timestamp.ToDatetime())
        outcome = SteadyExecutor(registry, _log).execute(started.workflowInstance.instanceId, [*turn.before, *turn.came], [new])
        today = {action.id: _asked(action) for action in outcome.actions if not timer.is_optional_timer_action(action)}
        if today != turn.asked:
            raise ChangedError(f"{name}: {_difference(number, turn.asked, today, outcome.actions)}")
    return number


def _wrapped(workflow: Workflow) -> Any:
    return lambda ctx, given: workflow(DaprWorkflowContext(ctx), given)


def _turns(history: Sequence[Any]) -> Iterator[_Turn]:
    starts = [place for place, event in enumerate(history) if event.HasField("workflowStarted")]
    for start, end in zip(starts, [*starts[1:], len(history)], strict=True):
        turn = history[start:end]
        recorded = [event for event in turn if event.WhichOneof("eventType") in ANSWERS and not timer.is_optional_timer_event(event)]
        came = [event for event in turn if event.WhichOneof("eventType") not in ANSWERS]
        yield _Turn(list(history[:start]), came, {event.eventId: _recorded(event) for event in recorded})


def _asked(action: Any) -> str:
    kind = action.WhichOneof("workflowActionType")
    if kind == "scheduleTask":
        return _activity(action.scheduleTask)
    if kind == "createTimer":
        return _timer(action.createTimer)
    if kind == "createChildWorkflow":
        return f"child workflow {action.createChildWorkflow.name}"
    if kind == "completeWorkflow":
        return f"end: {ENDED.get(action.completeWorkflow.workflowStatus, 'CONTINUED_AS_NEW')}"
    return "nothing: the version that it began with is not registered any more"


def _recorded(event: Any) -> str:
    kind = event.WhichOneof("eventType")
    if kind == "taskScheduled":
        return _activity(event.taskScheduled)
    if kind == "timerCreated":
        return _timer(event.timerCreated)
    if kind == "childWorkflowInstanceCreated":
        return f"child workflow {event.childWorkflowInstanceCreated.name}"
    return f"end: {ENDED.get(event.executionCompleted.workflowStatus, 'CONTINUED_AS_NEW')}"


def _activity(task: Any) -> str:
    """Its name, and of a step which iteration: they make its idempotency key."""
    given = json.loads(task.input.value) if task.input.value else None
    iteration = f" #{given['iteration']}" if isinstance(given, dict) and "iteration" in given else ""
    return f"activity {task.name}{iteration}"


def _timer(asked: Any) -> str:
    return f"wait for {asked.externalEvent.name}" if asked.HasField("externalEvent") else "timer"


def _difference(turn: int, recorded: dict[int, str], today: dict[int, str], actions: Sequence[Any]) -> str:
    number = min(one for one in {*recorded, *today} if recorded.get(one) != today.get(one))
    failures = [action.completeWorkflow.failureDetails.errorMessage for action in actions if action.HasField("completeWorkflow")]
    why = f" ({failures[0]})" if failures and failures[0] else ""
    was, now = recorded.get(number, "nothing"), today.get(number, "nothing")
    return f"turn {turn}, step {number}: recorded was `{was}`, today it is `{now}`{why}"


def read_history(document: dict[str, Any]) -> list[Any]:
    """The engine's messages of a recorded file."""
    return [json_format.ParseDict(event, pb.HistoryEvent()) for event in document["history"]]
