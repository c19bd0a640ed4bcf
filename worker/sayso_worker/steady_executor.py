"""The SDK's executor, made safe against what anybody may send an instance past Sayso: a second pause, and what is no JSON.

SDK 1.19 takes a second suspension for an event to keep until the resumption, and then keeps it again while it goes through what it has
kept: a loop without end that eats the worker's memory. And a resumption of an instance that is not suspended fails it for good.
Anybody may press pause twice, and every call to the engine may be made twice because its answer was lost (ADR 0011). And an event
whose payload is no JSON, which daprd takes, would fail the instance before its workflow sees it: it is handed over as text, so that
the gate refuses it with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dapr.ext.workflow._durabletask import worker as sdk


class SteadyExecutor(sdk._OrchestrationExecutor):
    """Runs the turns of one instance."""

    _ctx: Any = None

    def execute(self, instance_id: str, old_events: Sequence[Any], new_events: Sequence[Any], propagated_history: Any = None) -> Any:
        """As the SDK does, and leaves nothing behind.

        Context and generator hold each other. What they hold, all that a case knows, would stay until the next garbage collection,
        with that of hundreds of other turns.
        """
        try:
            return self.take_turn(instance_id, old_events, new_events, propagated_history)
        finally:
            _let_go(self._ctx)
            self._ctx = None

    def take_turn(self, instance_id: str, old_events: Sequence[Any], new_events: Sequence[Any], propagated_history: Any) -> Any:
        """One turn; the context is there until its end."""
        return super().execute(instance_id, old_events, new_events, propagated_history)

    def process_event(self, ctx: Any, event: Any) -> None:
        """As the SDK does, but what says nothing new is passed over. The SDK keeps the context to itself."""
        self._ctx = ctx
        kind = event.WhichOneof("eventType")
        says_nothing = (kind == "executionSuspended" and self._is_suspended) or (kind == "executionResumed" and not self._is_suspended)
        if not says_nothing:
            super().process_event(ctx, _readable(event) if kind == "eventRaised" else event)


def _let_go(ctx: Any) -> None:
    """End the generator, and empty the context. A workflow that does not want to end is left to the garbage collector, as all were."""
    kept = vars(ctx) if ctx is not None else {}
    generator = kept.get("_generator")
    if generator is not None:
        try:
            generator.close()
        except Exception:  # noqa: BLE001 - its turn is over, and whatever it says now is told to nobody
            return
    kept.clear()


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
