"""The registry: every workflow and activity that a worker must know. A worker that lacks one fails the instances that need it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dapr.ext.workflow import WorkflowRuntime

from sayso.ledger import Ledger
from sayso.services import PartnerClient
from sayso_worker.activities.effects import Effect, assign_task, cancel_order, execute_approved_action, place_order
from sayso_worker.activities.steps import confirm_deadline_activity, step_activity
from sayso_worker.workflows.approval import approval_workflow
from sayso_worker.workflows.purchase_order import purchase_order_workflow
from sayso_worker.workflows.task_approval import task_approval_workflow

WORKFLOWS: Mapping[str, Any] = MappingProxyType(
    {
        "approval_workflow": approval_workflow,
        "purchase_order_workflow": purchase_order_workflow,
        "task_approval_workflow": task_approval_workflow,
    }
)

STEPS: Mapping[str, Effect | None] = MappingProxyType(
    {
        "execute_approved_action": execute_approved_action,
        "place_order": place_order,
        "cancel_order": cancel_order,
        "assign_task": assign_task,
        "record_refusal": None,
        "await_ledger": None,
        "close_case": None,
    }
)


def register(runtime: WorkflowRuntime, ledger: Ledger, partners: PartnerClient) -> None:
    """Register all of it."""
    for name, workflow in WORKFLOWS.items():
        runtime.register_workflow(workflow, name=name)
    for name, effect in STEPS.items():
        runtime.register_activity(step_activity(name, effect, ledger, partners), name=name)
    runtime.register_activity(confirm_deadline_activity(ledger), name="confirm_deadline")
