"""An app by hand: toy workflows, and a raw subscription that writes down the bytes of every delivery.

In: the topic `facts`. Out: one line of hex for each delivery in `deliveries.txt` of the state folder.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from dapr.ext.grpc import App, SubscriptionMessage, TopicEventResponse
from dapr.ext.workflow import DaprWorkflowContext, WorkflowRuntime

DELIVERIES = Path(os.environ["SAYSO_STATE_DIR"]) / "deliveries.txt"


def write_down(message: SubscriptionMessage) -> TopicEventResponse:
    with DELIVERIES.open("a", encoding="ascii") as file:
        file.write(message.raw_data().hex() + "\n")
    return TopicEventResponse("success")


def collect(ctx: DaprWorkflowContext, count: int) -> Generator[Any, Any, list[Any]]:
    """Ends when `go` came `count` times; gives what came."""
    collected: list[Any] = []
    while len(collected) < count:
        collected.append((yield ctx.wait_for_external_event("go")))
    return collected


def repeat(ctx: DaprWorkflowContext, text: str) -> Generator[Any, Any, str]:
    """Ends at once with its input."""
    yield ctx.create_timer(timedelta(0))
    return text


def main() -> None:
    runtime = WorkflowRuntime()
    runtime.register_workflow(collect)
    runtime.register_workflow(repeat)
    runtime.start()
    app = App()
    app.subscribe("pubsub", "facts", metadata={"rawPayload": "true"})(write_down)
    app.run(int(os.environ["APP_PORT"]), listen_address="127.0.0.1")


if __name__ == "__main__":
    main()
