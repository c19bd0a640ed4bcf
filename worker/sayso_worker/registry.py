"""The registry: every workflow and activity that a worker must know. A worker that lacks one fails the instances that need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dapr.ext.workflow import WorkflowRuntime

from sayso.contracts.catalog import ALIASES
from sayso.contracts.tables import Table
from sayso.ledger import Ledger
from sayso.ledger.cases import Rules
from sayso.services import PartnerClient
from sayso_worker.activities.bulk import number_items, report_error, report_total, take_chain_step, work_on_item
from sayso_worker.activities.effects import (
    Effect,
    assign_task,
    cancel_order,
    doing,
    execute_approved_action,
    place_order,
    settle_escalation,
    undoing,
)
from sayso_worker.activities.looking import check_health, check_job_status
from sayso_worker.activities.steps import approval_activities, confirm_deadline_activity, step_activity, take_case_activity
from sayso_worker.workflows.approval import approval_workflow
from sayso_worker.workflows.batch_processing import batch_processing_workflow
from sayso_worker.workflows.book_trip import book_trip
from sayso_worker.workflows.front_door import with_front_door
from sayso_worker.workflows.health_monitor import health_monitor_workflow
from sayso_worker.workflows.job_status_monitor import job_status_monitor
from sayso_worker.workflows.order_saga import order_saga
from sayso_worker.workflows.purchase_order import purchase_order_workflow
from sayso_worker.workflows.request_escalation import request_escalation
from sayso_worker.workflows.status_monitor import status_monitor_workflow
from sayso_worker.workflows.task_approval import task_approval_workflow
from sayso_worker.workflows.task_chain import task_chain_workflow
from sayso_worker.workflows.task_processing_saga import task_processing_saga

WORKFLOWS: Table[Any] = Table(
    {
        "approval_workflow": approval_workflow,
        "purchase_order_workflow": purchase_order_workflow,
        "task_approval_workflow": task_approval_workflow,
        "task_processing_saga": task_processing_saga,
        "order_saga": order_saga,
        "book_trip": book_trip,
        "request_escalation": request_escalation,
        "batch_processing_workflow": batch_processing_workflow,
        "task_chain_workflow": task_chain_workflow,
        "health_monitor_workflow": health_monitor_workflow,
        "status_monitor_workflow": status_monitor_workflow,
        "job_status_monitor": job_status_monitor,
    }
)

FORMER: Table[Mapping[str, Any]] = Table({})
"""Workflow → version → what it did then, for cases that were opened with it: `{"approval_workflow": {"1": approval_workflow_1}}`.
What WORKFLOWS has is one version later than the last of these (docs/workflow-versions.md)."""

STEPS: Table[Effect | None] = Table(
    {
        "execute_approved_action": execute_approved_action,
        "place_order": place_order,
        "cancel_order": cancel_order,
        "assign_task": assign_task,
        "create_task_record": doing("records"),
        "delete_task_record": undoing("records", "task_id", "delete"),
        "reserve_assignee_capacity": doing("capacity"),
        "release_assignee_capacity": undoing("capacity", "task_id", "release"),
        "notify_assignee": doing("notifications"),
        "send_cancellation_notice": undoing("notifications", "task_id", "cancel"),
        "update_dashboard": doing("dashboard"),
        "reserve_inventory": doing("inventory"),
        "release_inventory": undoing("inventory", "order_id", "release"),
        "process_payment": doing("payments"),
        "refund_payment": undoing("payments", "order_id", "refund"),
        "ship_order": doing("shipments"),
        "cancel_shipment": undoing("shipments", "order_id", "cancel"),
        "book_flight": doing("flights"),
        "cancel_flight": undoing("flights", "trip_id", "cancel"),
        "book_hotel": doing("hotels"),
        "cancel_hotel": undoing("hotels", "trip_id", "cancel"),
        "book_car": doing("cars"),
        "cancel_car": undoing("cars", "trip_id", "cancel"),
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
        "check_service_status": check_health,
        "check_status": check_health,
        "check_job_status": check_job_status,
        "send_alert": None,
        "note_event": None,
        "record_refusal": None,
        "record_approval": None,
        "await_ledger": None,
        "give_up": None,
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
        for known_as in (name, *(alias for alias, meant in ALIASES.items() if meant == name)):
            _register_versions(runtime, known_as, versions_of(name))
    for name, effect in STEPS.items():
        runtime.register_activity(step_activity(name, effect, ledger, partners), name=name)
    for name, activity in approval_activities(ledger, rules.policies).items():
        runtime.register_activity(activity, name=name)
    runtime.register_activity(confirm_deadline_activity(ledger), name="confirm_deadline")
    runtime.register_activity(take_case_activity(ledger, rules), name="take_case")


def _register_versions(runtime: WorkflowRuntime, known_as: str, versions: Mapping[str, Any]) -> None:
    latest = list(versions)[-1]
    for version, function in versions.items():
        runtime.register_versioned_workflow(function, name=known_as, version_name=version, is_latest=version == latest)
