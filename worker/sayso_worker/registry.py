"""The registry: every workflow and activity that a worker must know. A worker that lacks one fails the instances that need it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext, WorkflowRuntime

from sayso.contracts.catalog import ALIASES
from sayso.ledger import Ledger
from sayso.services import PartnerClient
from sayso_worker.activities.bulk import number_items, report_error, report_total, take_chain_step, work_on_item
from sayso_worker.activities.effects import (
    Effect,
    assign_task,
    cancel_order,
    execute_approved_action,
    place_order,
    settle_escalation,
)
from sayso_worker.activities.steps import confirm_deadline_activity, step_activity
from sayso_worker.workflows.approval import approval_workflow
from sayso_worker.workflows.batch_processing import batch_processing_workflow
from sayso_worker.workflows.purchase_order import purchase_order_workflow
from sayso_worker.workflows.request_escalation import request_escalation
from sayso_worker.workflows.task_approval import task_approval_workflow
from sayso_worker.workflows.task_chain import task_chain_workflow

WORKFLOWS: Mapping[str, Any] = MappingProxyType(
    {
        "approval_workflow": approval_workflow,
        "purchase_order_workflow": purchase_order_workflow,
        "task_approval_workflow": task_approval_workflow,
        "request_escalation": request_escalation,
        "batch_processing_workflow": batch_processing_workflow,
        "task_chain_workflow": task_chain_workflow,
    }
)

STEPS: Mapping[str, Effect | None] = MappingProxyType(
    {
        "execute_approved_action": execute_approved_action,
        "place_order": place_order,
        "cancel_order": cancel_order,
        "assign_task": assign_task,
        "auto_approve_activity": settle_escalation,
        "process_approval_activity": settle_escalation,
        "handle_timeout_activity": settle_escalation,
        "get_work_batch": number_items,
        "process_work_item": work_on_item,
        "process_results": report_total,
        "step1": take_chain_step,
        "step2": take_chain_step,
        "step3": take_chain_step,
        "error_handler": report_error,
        "record_refusal": None,
        "await_ledger": None,
        "close_case": None,
    }
)


def register(runtime: WorkflowRuntime, ledger: Ledger, partners: PartnerClient) -> None:
    """Register all of it."""
    for name, workflow in WORKFLOWS.items():
        runtime.register_workflow(workflow, name=name)
    for alias, name in ALIASES.items():
        runtime.register_workflow(_same_as(WORKFLOWS[name]), name=alias)
    for name, effect in STEPS.items():
        runtime.register_activity(step_activity(name, effect, ledger, partners), name=name)
    runtime.register_activity(confirm_deadline_activity(ledger), name="confirm_deadline")


def _same_as(workflow: Any) -> Any:
    """The SDK takes a function under one name only."""

    def under_another_name(ctx: DaprWorkflowContext, raw: Any) -> Any:
        return workflow(ctx, raw)

    return under_another_name
