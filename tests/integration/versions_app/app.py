"""An app by hand whose workflow changes: which code it runs is said by `deployed.txt` in the state folder, read anew at SIGHUP.

Every workflow calls `note` with a letter, waits for `go`, and calls `note` with another: `AB` is the first code, `AXB` is the changed
one, which does something more before it waits. Its answer is what it noted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from dapr.ext.grpc import App, SubscriptionMessage, TopicEventResponse
from dapr.ext.workflow import DaprWorkflowContext, WorkflowActivityContext, WorkflowRuntime

STATE = Path(os.environ["SAYSO_STATE_DIR"])
DEPLOYED, RUNNING = STATE / "deployed.txt", STATE / "running.txt"
Workflow = Callable[[DaprWorkflowContext, Any], Generator[Any, Any, str]]
HOUR = timedelta(hours=1)


def ignore(_message: SubscriptionMessage) -> TopicEventResponse:
    return TopicEventResponse("success")


def note(_ctx: WorkflowActivityContext, letter: str) -> str:
    return letter


def more(_ctx: WorkflowActivityContext, letter: str) -> str:
    return letter


def first(ctx: DaprWorkflowContext, _given: Any) -> Generator[Any, Any, str]:
    noted = yield ctx.call_activity("note", input="A")
    yield ctx.wait_for_external_event("go", timeout=HOUR)
    return noted + (yield ctx.call_activity("note", input="B"))


def changed(ctx: DaprWorkflowContext, _given: Any) -> Generator[Any, Any, str]:
    noted = yield ctx.call_activity("more", input="X")
    noted += yield ctx.call_activity("note", input="A")
    yield ctx.wait_for_external_event("go", timeout=HOUR)
    return noted + (yield ctx.call_activity("note", input="B"))


def patched(ctx: DaprWorkflowContext, _given: Any) -> Generator[Any, Any, str]:
    noted = ""
    if ctx.is_patched("more-first"):
        noted += yield ctx.call_activity("more", input="X")
    noted += yield ctx.call_activity("note", input="A")
    yield ctx.wait_for_external_event("go", timeout=HOUR)
    return noted + (yield ctx.call_activity("note", input="B"))


def copy_of(workflow: Workflow) -> Workflow:
    """The SDK marks a function that it has registered, and registers it once."""

    def copy(ctx: DaprWorkflowContext, given: Any) -> Generator[Any, Any, str]:
        return (yield from workflow(ctx, given))

    return copy


def deploy(runtime: WorkflowRuntime, what: str) -> None:
    plain: Mapping[str, Workflow] = {"first": first, "changed": changed, "patched": patched}
    if what in plain:
        runtime.register_workflow(copy_of(plain[what]), name="plain")
        runtime.register_workflow(copy_of(plain[what]), name="other")
    if what == "numbered without a version":
        runtime.register_workflow(copy_of(first), name="numbered")
    versions: Mapping[str, Mapping[str, Workflow]] = {
        "version 1": {"1": first},
        "versions 1 and 2": {"1": first, "2": changed},
        "version 2": {"2": changed},
    }
    for number, workflow in versions.get(what, {}).items():
        is_latest = number == max(versions[what])
        runtime.register_versioned_workflow(copy_of(workflow), name="numbered", version_name=number, is_latest=is_latest)


def main() -> None:
    signal.signal(signal.SIGHUP, lambda *_: os.execv(sys.executable, [sys.executable, *sys.argv]))
    order = DEPLOYED.read_text("ascii") if DEPLOYED.exists() else "0:first"
    runtime = WorkflowRuntime()
    deploy(runtime, order.partition(":")[2])
    runtime.register_activity(note)
    runtime.register_activity(more)
    runtime.start()
    RUNNING.write_text(order, "ascii")
    app = App()
    app.subscribe("pubsub", "facts", metadata={"rawPayload": "true"})(ignore)  # daprd waits for subscriptions
    app.run(int(os.environ["APP_PORT"]), listen_address="127.0.0.1")


if __name__ == "__main__":
    main()
