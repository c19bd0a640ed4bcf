"""What the rules say for one case: its plan and its first stage. Pure; settings in, snapshot out.

The plan is taken when the case is opened and travels in the workflow's input, so that settings that change later do not touch it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sayso.contracts.requests import Priority
from sayso.contracts.tables import Table
from sayso.contracts.workflow_io import MonitorPlan, Plan, Retries
from sayso.settings import RetrySettings, Settings

STAGE = "approval"
"""The one stage that the shipped plans have today."""


@dataclass(frozen=True)
class WorkflowPolicy:
    """How a workflow's plan comes from the settings, and whether a request passes without asking anybody."""

    plan: Callable[[Settings], Plan]
    automatic: Callable[[Plan, Mapping[str, Any]], bool]
    describe: Callable[[Mapping[str, Any]], str]


def _below_threshold(field: str) -> Callable[[Plan, Mapping[str, Any]], bool]:
    def automatic(plan: Plan, request: Mapping[str, Any]) -> bool:
        return plan.auto_approve_below is not None and Decimal(str(request[field])) < plan.auto_approve_below

    return automatic


def _approval_plan(settings: Settings) -> Plan:
    return Plan(
        auto_approve_below=settings.approval.auto_approve_below,
        approval_timeout_seconds=settings.approval.timeout.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
    )


def _purchase_plan(settings: Settings) -> Plan:
    return Plan(
        auto_approve_below=settings.purchase.auto_approve_below,
        approval_timeout_seconds=settings.purchase.approval_timeout.total_seconds(),
        payment_timeout_seconds=settings.purchase.payment_timeout.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
    )


def _task_plan(settings: Settings) -> Plan:
    return Plan(
        approval_timeout_seconds=settings.task.manager_timeout.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
    )


def _saga_plan(settings: Settings) -> Plan:
    return Plan(
        accept_raw_raise=settings.accept_raw_raise,
        retries=planned_retries(settings.saga.retries),
        undo_retries=planned_retries(settings.saga.undo_retries),
    )


def _order_plan(settings: Settings) -> Plan:
    return Plan(
        auto_approve_below=settings.order.auto_approve_below,
        approval_timeout_seconds=settings.order.approval_timeout.total_seconds(),
        payment_timeout_seconds=settings.order.payment_wait.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
        retries=planned_retries(settings.saga.retries),
        undo_retries=planned_retries(settings.saga.undo_retries),
    )


def _escalation_plan(settings: Settings) -> Plan:
    return Plan(
        auto_approve_below=settings.escalation.auto_approve_below,
        approval_timeout_seconds=settings.escalation.timeout.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
    )


def _batch_plan(settings: Settings) -> Plan:
    batch = settings.batch
    return Plan(
        accept_raw_raise=settings.accept_raw_raise,
        retries=planned_retries(batch.retries),
        items_at_once=batch.items_at_once,
        round_items=batch.round_items,
    )


def _chain_plan(settings: Settings) -> Plan:
    return Plan(accept_raw_raise=settings.accept_raw_raise, retries=planned_retries(settings.chain.retries))


def _health_plan(settings: Settings) -> Plan:
    health = settings.health_monitor
    return _monitor_plan(
        settings,
        target_template=health.target_template,
        healthy_interval_seconds=health.healthy_interval.total_seconds(),
        unhealthy_interval_seconds=health.unhealthy_interval.total_seconds(),
        critical_after=health.critical_after,
        repeat_after_seconds=health.repeat_after.total_seconds(),
        recovery_notice=health.recovery_notice,
    )


def _status_plan(settings: Settings) -> Plan:
    status = settings.status_monitor
    return _monitor_plan(
        settings,
        target_template=status.target_template,
        healthy_interval_seconds=status.healthy_interval.total_seconds(),
        unhealthy_interval_seconds=status.unhealthy_interval.total_seconds(),
    )


def _job_plan(settings: Settings) -> Plan:
    interval_seconds = settings.job_monitor.interval.total_seconds()
    return _monitor_plan(
        settings,
        target_template=settings.job_monitor.target_template,
        healthy_interval_seconds=interval_seconds,
        unhealthy_interval_seconds=interval_seconds,
    )


def _monitor_plan(settings: Settings, **of_its_kind: Any) -> Plan:
    monitor = MonitorPlan(
        allowed_targets=list(settings.monitor.allowed_targets),
        timeout_seconds=settings.monitor.timeout.total_seconds(),
        **of_its_kind,
    )
    return Plan(accept_raw_raise=settings.accept_raw_raise, monitor=monitor)


def asks_nobody(_plan: Plan, _request: Mapping[str, Any]) -> bool:
    """`automatic` of a workflow that needs no approval."""
    return True


def planned_retries(settings: RetrySettings) -> Retries:
    """The settings as the plan has them."""
    return Retries(
        first_interval_seconds=settings.first_interval.total_seconds(),
        coefficient=settings.coefficient,
        interval_max_seconds=settings.interval_max.total_seconds(),
        attempts=settings.attempts,
    )


POLICIES: Table[WorkflowPolicy] = Table(
    {
        "approval_workflow": WorkflowPolicy(
            _approval_plan,
            _below_threshold("amount"),
            lambda request: f"{request['amount']} {request['currency']}: {request['description'] or request['request_id']}",
        ),
        "purchase_order_workflow": WorkflowPolicy(
            _purchase_plan,
            _below_threshold("cost"),
            lambda request: f"{request['product']} ({request['quantity']}) for {request['cost']} {request['currency']}",
        ),
        "task_approval_workflow": WorkflowPolicy(
            _task_plan,
            lambda _plan, request: request["priority"] == Priority.LOW,
            lambda request: f"{request['title']} ({request['priority']}) for {request['assignee']}",
        ),
        "task_processing_saga": WorkflowPolicy(
            _saga_plan, asks_nobody, lambda request: f"{request['title']} ({request['priority']}) for {request['assignee']}"
        ),
        "order_saga": WorkflowPolicy(
            _order_plan,
            _below_threshold("amount"),
            lambda request: f"{request['product']} ({request['quantity']}) for {request['amount']} {request['currency']}",
        ),
        "book_trip": WorkflowPolicy(
            _saga_plan, asks_nobody, lambda request: f"a trip of {request['traveller']} to {request['destination']}"
        ),
        "request_escalation": WorkflowPolicy(
            _escalation_plan,
            _below_threshold("amount"),
            lambda request: f"{request['amount']} {request['currency']}: {request['description'] or request['request_id']}",
        ),
        "batch_processing_workflow": WorkflowPolicy(
            _batch_plan, asks_nobody, lambda request: f"{request['count']} items from {request['offset'] + 1}"
        ),
        "task_chain_workflow": WorkflowPolicy(_chain_plan, asks_nobody, lambda request: f"a chain from {request['value']}"),
        "health_monitor_workflow": WorkflowPolicy(_health_plan, asks_nobody, lambda request: f"the health of {request['job_id']}"),
        "status_monitor_workflow": WorkflowPolicy(_status_plan, asks_nobody, lambda request: f"the status of {request['job_id']}"),
        "job_status_monitor": WorkflowPolicy(_job_plan, asks_nobody, lambda request: f"the job {request['job_id']}"),
    }
)


def passes_by_itself(workflow: str, plan: Plan, request: Mapping[str, Any]) -> bool:
    """Whether nobody is asked: as the policy answers, or where there is none as the settings say."""
    return plan.approval.automatic if plan.approval is not None else POLICIES[workflow].automatic(plan, request)


def in_words(seconds: float) -> str:
    """A duration for people: `3 days`, `24 hours`, `90 seconds`; 48 hours and less stay hours, as the seeds say them."""
    span = timedelta(seconds=seconds)
    for unit, size, least in (("day", 86_400, 172_801), ("hour", 3_600, 3_600), ("minute", 60, 60)):
        if seconds >= least and span.total_seconds() % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}" + ("" if count == 1 else "s")
    count_text = f"{seconds:f}".rstrip("0").rstrip(".")
    return f"{count_text} second" + ("" if count_text == "1" else "s")
