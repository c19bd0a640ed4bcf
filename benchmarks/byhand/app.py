"""The yardstick: an approval app on Dapr as one writes it by hand after the lessons, without a ledger.

In: `requests` (starts the workflow) and `approvals` (raises `approval_received`). Out: the outcome on `outcomes`, published by the
last activity. It keeps nothing: what it loses, refuses or sees twice, nobody knows. The lessons' activities print; these print the
time too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dapr.ext.workflow as wf
from dapr.clients import DaprClient
from dapr.ext.grpc import App, SubscriptionMessage

app = App()
dapr = DaprClient()
workflows = wf.DaprWorkflowClient()


@dataclass
class ApprovalRequest:
    """What wants a yes."""

    request_id: str
    requester: str
    amount: float
    description: str


@dataclass
class ApprovalDecision:
    """What somebody said."""

    approved: bool
    approver: str
    reason: str | None = None


def approval_workflow(ctx: wf.DaprWorkflowContext, raw: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """The lesson's approval workflow: ask, wait three days for `approval_received`, act, confirm."""
    request = ApprovalRequest(**raw)
    if request.amount < 1000:
        return {"status": "auto_approved", "request_id": request.request_id, "reason": "Amount below approval threshold"}
    yield ctx.call_activity(send_approval_request, input=raw)
    approval_event = ctx.wait_for_external_event("approval_received")
    timeout = ctx.create_timer(timedelta(days=3))
    winner = yield wf.when_any([approval_event, timeout])
    if winner == timeout:
        yield ctx.call_activity(send_timeout_notification, input=raw)
        return {"status": "timeout", "request_id": request.request_id, "reason": "No approval received within 3 days"}
    decided = approval_event.get_result()
    decision = ApprovalDecision(**decided)
    if not decision.approved:
        yield ctx.call_activity(send_rejection_notification, input={"request": raw, "decision": decided})
        return {
            "status": "rejected",
            "request_id": request.request_id,
            "approver": decision.approver,
            "reason": decision.reason,
        }
    yield ctx.call_activity(execute_approved_action, input=raw)
    yield ctx.call_activity(send_approval_confirmation, input={"request": raw, "decision": decided})
    return {"status": "approved", "request_id": request.request_id, "approver": decision.approver}


def send_approval_request(_ctx: wf.WorkflowActivityContext, request: dict[str, Any]) -> None:
    """Ask the manager."""
    say(f"Sending approval request for {request['request_id']} (${request['amount']}) to manager")


def send_timeout_notification(_ctx: wf.WorkflowActivityContext, request: dict[str, Any]) -> None:
    """Tell the requester that nobody decided."""
    say(f"Sending timeout notification for {request['request_id']}")


def send_rejection_notification(_ctx: wf.WorkflowActivityContext, data: dict[str, Any]) -> None:
    """Tell the requester that it was rejected."""
    say(f"Sending rejection notification: {data['decision']['reason']}")


def execute_approved_action(_ctx: wf.WorkflowActivityContext, request: dict[str, Any]) -> None:
    """Do what was approved."""
    say(f"Executing approved action for {request['request_id']}")


def send_approval_confirmation(_ctx: wf.WorkflowActivityContext, data: dict[str, Any]) -> None:
    """Confirm to the requester, and tell other systems: the one activity with I/O."""
    request_id = data["request"]["request_id"]
    say(f"Sending approval confirmation for {request_id}")
    outcome = {"request_id": request_id, "status": "approved", "approver": data["decision"]["approver"]}
    dapr.publish_event("pubsub", "outcomes", json.dumps(outcome), data_content_type="application/json")


def say(text: str) -> None:
    """Print one line, in one write, so that lines of two threads do not mix."""
    print(f"{time.time():.6f} {text}\n", end="")


@app.subscribe("pubsub", "requests")  # type: ignore[untyped-decorator]
def start(message: SubscriptionMessage) -> None:
    """A request starts its workflow."""
    request = message.data()
    workflows.schedule_new_workflow(approval_workflow, input=request, instance_id=request["request_id"])


@app.subscribe("pubsub", "approvals")  # type: ignore[untyped-decorator]
def wake(message: SubscriptionMessage) -> None:
    """A decision wakes it."""
    decided = message.data()
    decision = {name: decided[name] for name in ("approved", "approver", "reason")}
    workflows.raise_workflow_event(decided["request_id"], "approval_received", data=decision)


@app.subscribe("pubsub", "dapr-deadletters")  # type: ignore[untyped-decorator]
def give_up(_message: SubscriptionMessage) -> None:
    """What Dapr gave up is said; the stack waits for this subscription, as it does for Sayso's."""
    say("Dapr gave an event up")


def main() -> None:
    """Work and receive until stopped."""
    runtime = wf.WorkflowRuntime()
    runtime.register_workflow(approval_workflow)
    for activity in (
        send_approval_request,
        send_timeout_notification,
        send_rejection_notification,
        execute_approved_action,
        send_approval_confirmation,
    ):
        runtime.register_activity(activity)
    runtime.start()
    app.run(int(os.environ["APP_PORT"]), "127.0.0.1")


if __name__ == "__main__":
    main()
