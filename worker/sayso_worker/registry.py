"""The registry: every workflow and activity that a worker must know. A worker that lacks one fails the instances that need it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from dapr.ext.workflow import WorkflowRuntime

from sayso.ledger import Ledger
from sayso.ledger.cases import Rules
from sayso.services import PartnerClient
from sayso_worker.activities.effects import Effect, assign_task, cancel_order, execute_approved_action, place_order
from sayso_worker.activities.steps import confirm_deadline_activity, step_activity, take_case_activity
from sayso_worker.workflows.approval import approval_workflow
from sayso_worker.workflows.front_door import with_front_door
from sayso_worker.workflows.purchase_order import purchase_order_workflow
from sayso_worker.workflows.task_approval import task_approval_workflow

WORKFLOWS: Mapping[str, Any] = MappingProxyType(
    {
        "approval_workflow": approval_workflow,
        "purchase_order_workflow": purchase_order_workflow,
        "task_approval_workflow": task_approval_workflow,
    }
)

FORMER: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
"""Workflow → version → what it did then, for cases that were opened with it: `{"approval_workflow": {"1": approval_workflow_1}}`.
What WORKFLOWS has is one version later than the last of these (docs/workflow-versions.md)."""

STEPS: Mapping[str, Effect | None] = MappingProxyType(
    {
        "execute_approved_action": execute_approved_action,
        "place_order": place_order,
        "cancel_order": cancel_order,
        "assign_task": assign_task,
        "record_refusal": None,
        "close_case": None,
    }
)


def versions_of(name: str) -> Mapping[str, Any]:
    """Every version of a workflow that cases may be running, the latest last. The engine keeps a case with the one it began with."""
    former = FORMER.get(name, {})
    return {version: with_front_door(name, one) for version, one in {**former, str(len(former) + 1): WORKFLOWS[name]}.items()}


def register(runtime: WorkflowRuntime, ledger: Ledger, partners: PartnerClient, rules: Rules) -> None:
    """Register all of it."""
    for name in WORKFLOWS:
        versions = versions_of(name)
        latest = list(versions)[-1]
        for version, function in versions.items():
            runtime.register_versioned_workflow(function, name=name, version_name=version, is_latest=version == latest)
    for name, effect in STEPS.items():
        runtime.register_activity(step_activity(name, effect, ledger, partners), name=name)
    runtime.register_activity(confirm_deadline_activity(ledger), name="confirm_deadline")
    runtime.register_activity(take_case_activity(ledger, rules), name="take_case")
