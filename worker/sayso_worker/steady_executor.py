"""The SDK's executor, made safe against pauses: suspending or resuming an instance twice changes nothing.

SDK 1.19 takes a second suspension for an event to keep until the resumption, and then keeps it again while it goes through what it has
kept: a loop without end that eats the worker's memory. And a resumption of an instance that is not suspended fails it for good.
Anybody may press pause twice, and every call to the engine may be made twice because its answer was lost (ADR 0011).
"""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow._durabletask import worker as sdk


class SteadyExecutor(sdk._OrchestrationExecutor):
    """Runs the turns of one instance."""

    def process_event(self, ctx: Any, event: Any) -> None:
        """As the SDK does, but what says nothing new is passed over."""
        kind = event.WhichOneof("eventType")
        says_nothing = (kind == "executionSuspended" and self._is_suspended) or (kind == "executionResumed" and not self._is_suspended)
        if not says_nothing:
            super().process_event(ctx, event)


def install_executor(executor: type[SteadyExecutor]) -> None:
    """Have every worker of this process run its turns with it; before the runtime starts."""
    setattr(sdk, "_OrchestrationExecutor", executor)  # noqa: B010 - it is private there
