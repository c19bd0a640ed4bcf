"""The SDK's executor, made safe against what anybody may send an instance past Sayso: a second pause, and what is no JSON.

SDK 1.19 takes a second suspension for an event to keep until the resumption, and then keeps it again while it goes through what it has
kept: a loop without end that eats the worker's memory. And a resumption of an instance that is not suspended fails it for good.
Anybody may press pause twice, and every call to the engine may be made twice because its answer was lost (ADR 0011). And an event
whose payload is no JSON, which daprd takes, would fail the instance before its workflow sees it: it is handed over as text, so that
the gate refuses it with a reason.
"""

from __future__ import annotations

import json
from typing import Any

from dapr.ext.workflow._durabletask import worker as sdk


class SteadyExecutor(sdk._OrchestrationExecutor):
    """Runs the turns of one instance."""

    def process_event(self, ctx: Any, event: Any) -> None:
        """As the SDK does, but what says nothing new is passed over."""
        kind = event.WhichOneof("eventType")
        says_nothing = (kind == "executionSuspended" and self._is_suspended) or (kind == "executionResumed" and not self._is_suspended)
        if not says_nothing:
            super().process_event(ctx, _readable(event) if kind == "eventRaised" else event)


def _readable(event: Any) -> Any:
    """The event, or one like it whose payload is the other's text; the history stays as it is, so a replay finds the same."""
    text = event.eventRaised.input.value
    try:
        json.loads(text or "null")
    except (ValueError, RecursionError):
        readable = type(event)()
        readable.CopyFrom(event)
        readable.eventRaised.input.value = json.dumps(text)
        return readable
    return event


def install_executor(executor: type[SteadyExecutor]) -> None:
    """Have every worker of this process run its turns with it; before the runtime starts."""
    setattr(sdk, "_OrchestrationExecutor", executor)  # noqa: B010 - it is private there
