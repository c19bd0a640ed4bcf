"""An app by hand: toy workflows, one with the production mailbox, and a raw subscription that writes down the bytes of every delivery.

In: the topic `facts`. Out: one line of hex for each delivery in `deliveries.txt` of the state folder.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

from dapr.ext.grpc import App, SubscriptionMessage, TopicEventResponse
from dapr.ext.workflow import DaprWorkflowContext, WorkflowActivityContext, WorkflowRuntime, when_any

from sayso.contracts.workflow_io import CaseInput
from sayso_worker.workflows.journal import Journal
from sayso_worker.workflows.mailbox import Mailbox

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


def look(_ctx: WorkflowActivityContext, _given: Any) -> None:
    """What a monitor does between two events."""


def relay(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Generator[Any, Any, Any]:
    """Takes `tick` and `tock`, continues as new after every few of them, ends at `stop`; gives what it took and in how many runs."""
    case_input = CaseInput.model_validate(raw)
    asked = case_input.request
    journal = Journal(ctx, case_input)
    mailbox = Mailbox(journal, ["tick", "tock", "stop"])
    own = journal.carried.own or {"taken": [], "runs": 0}
    taken, runs = own["taken"], own["runs"] + 1
    yield ctx.call_activity(look)
    mailbox.wait_until(journal.now + timedelta(minutes=5))
    for _ in range(asked["events_a_run"]):
        event = yield from mailbox.next(["tick", "tock"]) if len(taken) < asked["events"] else mailbox.next(["stop"])
        if event is None or event.name == "stop":
            return {"taken": taken, "runs": runs, "stopped": event is not None}
        journal.use(event)
        taken.append([event.name, event.seq])
    mailbox.continue_as_new({"taken": taken, "runs": runs})
    return None


def renew(ctx: DaprWorkflowContext, run: int) -> Generator[Any, Any, Any]:
    """The first run waits a second at most for `go`; the second one longer than its timer takes: gives which of both came first."""
    if run == 1:
        yield ctx.wait_for_external_event("go", timeout=timedelta(seconds=1))
        ctx.continue_as_new(2)
        return None
    wait = ctx.wait_for_external_event("go", timeout=timedelta(seconds=30))
    first = yield when_any([wait, ctx.create_timer(timedelta(seconds=2))])
    return "the wait" if first is wait else "the timer"


def forget(ctx: DaprWorkflowContext, given: dict[str, Any]) -> Generator[Any, Any, Any]:
    """Takes `go`, continues as new, then takes `more`, which came before: gives what it got of it."""
    if not given["again"]:
        yield ctx.wait_for_external_event("go")
        ctx.continue_as_new({**given, "again": True}, save_events=given["save_events"])
        return None
    try:
        return (yield ctx.wait_for_external_event("more", timeout=timedelta(seconds=1)))
    except TimeoutError:
        return "nothing"


def fill(_ctx: WorkflowActivityContext, size: int) -> str:
    """So many bytes for the history."""
    return "x" * size


def grow(ctx: DaprWorkflowContext, given: dict[str, int]) -> Generator[Any, Any, int]:
    """Makes a long history in one run, as no workflow should."""
    for _ in range(given["times"]):
        yield ctx.call_activity(fill, input=given["size"])
    return given["times"]


def main() -> None:
    runtime = WorkflowRuntime()
    for workflow in (collect, repeat, relay, renew, forget, grow):
        runtime.register_workflow(workflow)
    runtime.register_activity(look)
    runtime.register_activity(fill)
    runtime.start()
    app = App()
    app.subscribe("pubsub", "facts", metadata={"rawPayload": "true"})(write_down)
    app.run(int(os.environ["APP_PORT"]), listen_address="127.0.0.1")


if __name__ == "__main__":
    main()
