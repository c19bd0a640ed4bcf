"""The tables of what Sayso knows: event types, workflows, topics. Literal, so that reader and nearest-word search find all.

In: nothing. Out: `EVENT_TYPES` (type → payload model), `WORKFLOWS` (name → what it starts from and what it waits for).
Extensions (`sayso.extensions`) add rows of their own when a process starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sayso.contracts.approvals import ApprovalDecided, ApprovalRequested
from sayso.contracts.audit import AuditAnchored
from sayso.contracts.batches import BatchSubmitted, TaskChainSubmitted
from sayso.contracts.cases import AlertRaised, CaseClosed, EventDead
from sayso.contracts.changes import (
    ApprovalDelegated,
    ChangeRequested,
    DecisionRefused,
    OrderApprovalWithdrawn,
    OrderWithdrawn,
    PurchaseAmended,
    RequestAmended,
    RequestWithdrawn,
    TaskAmended,
    TaskWithdrawn,
)
from sayso.contracts.monitors import (
    HealthMonitorChanged,
    HealthMonitorStarted,
    JobMonitorChanged,
    JobMonitorStarted,
    MonitorAlerted,
    MonitorPaused,
    MonitorResumed,
    MonitorStopped,
    StatusMonitorChanged,
    StatusMonitorStarted,
)
from sayso.contracts.payload import Payload
from sayso.contracts.payments import PaymentCaptured, PaymentFailed, PaymentRefundRequested, PaymentRequested
from sayso.contracts.requests import ApprovalRequest, EscalationRequested, PurchaseRequested, PurchaseWithdrawn, TaskRequested
from sayso.contracts.sagas import CompensationFailed, OrderPlaced, TaskSubmitted, TripRequested
from sayso.contracts.tables import Table


@dataclass(frozen=True)
class EventType:
    """One CloudEvent type: its payload, the topic it travels on, whether Sayso receives (`in`) or sends (`out`) it."""

    model: type[Payload]
    topic: str
    direction: str


EVENT_TYPES: Table[EventType] = Table(
    {
        "com.acme.request.submitted.v1": EventType(ApprovalRequest, "requests", "in"),
        "com.acme.purchase.requested.v1": EventType(PurchaseRequested, "purchases", "in"),
        "com.acme.purchase.withdrawn.v1": EventType(PurchaseWithdrawn, "purchases", "in"),
        "com.acme.purchase.amended.v1": EventType(PurchaseAmended, "purchases", "in"),
        "com.acme.request.withdrawn.v1": EventType(RequestWithdrawn, "requests", "in"),
        "com.acme.request.amended.v1": EventType(RequestAmended, "requests", "in"),
        "com.acme.task.withdrawn.v1": EventType(TaskWithdrawn, "tasks", "in"),
        "com.acme.task.amended.v1": EventType(TaskAmended, "tasks", "in"),
        "com.acme.order.withdrawn.v1": EventType(OrderWithdrawn, "orders", "in"),
        "com.acme.order.approval-withdrawn.v1": EventType(OrderApprovalWithdrawn, "orders", "in"),
        "com.acme.task.requested.v1": EventType(TaskRequested, "tasks", "in"),
        "com.acme.task.submitted.v1": EventType(TaskSubmitted, "tasks", "in"),
        "com.acme.order.placed.v1": EventType(OrderPlaced, "orders", "in"),
        "com.acme.trip.requested.v1": EventType(TripRequested, "trips", "in"),
        "com.acme.order.approval-requested.v1": EventType(EscalationRequested, "orders", "in"),
        "com.acme.batch.submitted.v1": EventType(BatchSubmitted, "batches", "in"),
        "com.acme.task-chain.submitted.v1": EventType(TaskChainSubmitted, "batches", "in"),
        "com.acme.health-monitor.started.v1": EventType(HealthMonitorStarted, "monitors", "in"),
        "com.acme.health-monitor.changed.v1": EventType(HealthMonitorChanged, "monitors", "in"),
        "com.acme.health-monitor.paused.v1": EventType(MonitorPaused, "monitors", "in"),
        "com.acme.health-monitor.resumed.v1": EventType(MonitorResumed, "monitors", "in"),
        "com.acme.health-monitor.stopped.v1": EventType(MonitorStopped, "monitors", "in"),
        "com.acme.status-monitor.started.v1": EventType(StatusMonitorStarted, "monitors", "in"),
        "com.acme.status-monitor.changed.v1": EventType(StatusMonitorChanged, "monitors", "in"),
        "com.acme.status-monitor.paused.v1": EventType(MonitorPaused, "monitors", "in"),
        "com.acme.status-monitor.resumed.v1": EventType(MonitorResumed, "monitors", "in"),
        "com.acme.status-monitor.stopped.v1": EventType(MonitorStopped, "monitors", "in"),
        "com.acme.job-monitor.started.v1": EventType(JobMonitorStarted, "monitors", "in"),
        "com.acme.job-monitor.changed.v1": EventType(JobMonitorChanged, "monitors", "in"),
        "com.acme.job-monitor.paused.v1": EventType(MonitorPaused, "monitors", "in"),
        "com.acme.job-monitor.resumed.v1": EventType(MonitorResumed, "monitors", "in"),
        "com.acme.job-monitor.stopped.v1": EventType(MonitorStopped, "monitors", "in"),
        "com.acme.payment.captured.v1": EventType(PaymentCaptured, "payments", "in"),
        "com.acme.payment.failed.v1": EventType(PaymentFailed, "payments", "in"),
        "sayso.approval.decided.v1": EventType(ApprovalDecided, "approvals", "in"),
        "sayso.approval.delegated.v1": EventType(ApprovalDelegated, "approvals", "in"),
        "sayso.decision.refused.v1": EventType(DecisionRefused, "refusals", "out"),
        "sayso.approval.requested.v1": EventType(ApprovalRequested, "approval-requests", "out"),
        "sayso.payment.requested.v1": EventType(PaymentRequested, "payment-commands", "out"),
        "sayso.payment.refund-requested.v1": EventType(PaymentRefundRequested, "payment-commands", "out"),
        "sayso.case.closed.v1": EventType(CaseClosed, "outcomes", "out"),
        "sayso.event.dead.v1": EventType(EventDead, "deadletters", "out"),
        "sayso.alert.raised.v1": EventType(AlertRaised, "alerts", "out"),
        "sayso.saga.compensation-failed.v1": EventType(CompensationFailed, "alerts", "out"),
        "sayso.monitor.alerted.v1": EventType(MonitorAlerted, "alerts", "out"),
        "sayso.audit.anchored.v1": EventType(AuditAnchored, "audit-anchors", "out"),
    }
)

WITHDRAW_EVENT = "withdraw_requested"
"""The event name under which a purchase is withdrawn; others, which could not be before there were policies, have `CHANGE_EVENT`."""

CHANGE_EVENT = "change_requested"
"""The event name under which a withdrawal, an amendment, a delegation or an operator's act wakes a workflow: one wait for all."""

DECISION_EVENTS = ("approval_received", "human_approval", "ManagerApproval")
"""The event names under which a decision wakes a workflow: the seeds' documents do not agree on one."""

MONITOR_CHANGED = "monitor_changed"
"""The event name under which a change wakes a monitor; its contract is that of the kind."""

MONITOR_ACTS: Mapping[str, type[Payload]] = MappingProxyType(
    {"monitor_paused": MonitorPaused, "monitor_resumed": MonitorResumed, "monitor_stopped": MonitorStopped}
)


@dataclass(frozen=True)
class Counted:
    """How far a case is, where that can be counted: `step` is done once for each of as many as the request's field `of` says."""

    step: str
    of: str
    noun: str


@dataclass(frozen=True)
class WorkflowContract:
    """What a workflow starts from, which events wake it (name → payload), and which field of its request is its key."""

    request: type[Payload]
    events: Mapping[str, type[Payload]]
    key_field: str
    counted: Counted | None = None


WORKFLOWS: Table[WorkflowContract] = Table(
    {
        "approval_workflow": WorkflowContract(
            ApprovalRequest,
            {"approval_received": ApprovalDecided, CHANGE_EVENT: ChangeRequested},
            key_field="request_id",
        ),
        "purchase_order_workflow": WorkflowContract(
            PurchaseRequested,
            {
                "approval_received": ApprovalDecided,
                "payment_received": PaymentCaptured,
                "payment_failed": PaymentFailed,
                WITHDRAW_EVENT: PurchaseWithdrawn,
                CHANGE_EVENT: ChangeRequested,
            },
            key_field="order_id",
        ),
        "task_approval_workflow": WorkflowContract(
            TaskRequested,
            {"approval_received": ApprovalDecided, CHANGE_EVENT: ChangeRequested},
            key_field="task_id",
        ),
        "task_processing_saga": WorkflowContract(TaskSubmitted, {}, key_field="task_id"),
        "order_saga": WorkflowContract(
            OrderPlaced,
            {
                "approval_received": ApprovalDecided,
                "payment_received": PaymentCaptured,
                "payment_failed": PaymentFailed,
                CHANGE_EVENT: ChangeRequested,
            },
            key_field="order_id",
        ),
        "book_trip": WorkflowContract(TripRequested, {}, key_field="trip_id"),
        "request_escalation": WorkflowContract(
            EscalationRequested,
            {"human_approval": ApprovalDecided, CHANGE_EVENT: ChangeRequested},
            key_field="request_id",
        ),
        "batch_processing_workflow": WorkflowContract(
            BatchSubmitted, {}, key_field="batch_id", counted=Counted("process_work_item", of="count", noun="items")
        ),
        "task_chain_workflow": WorkflowContract(TaskChainSubmitted, {}, key_field="chain_id"),
        "health_monitor_workflow": WorkflowContract(
            HealthMonitorStarted, {MONITOR_CHANGED: HealthMonitorChanged, **MONITOR_ACTS}, key_field="job_id"
        ),
        "status_monitor_workflow": WorkflowContract(
            StatusMonitorStarted, {MONITOR_CHANGED: StatusMonitorChanged, **MONITOR_ACTS}, key_field="job_id"
        ),
        "job_status_monitor": WorkflowContract(
            JobMonitorStarted, {MONITOR_CHANGED: JobMonitorChanged, **MONITOR_ACTS}, key_field="job_id"
        ),
    }
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "batch_processing": "batch_processing_workflow",
        "task_chain": "task_chain_workflow",
        "request_escalation_workflow": "request_escalation",
    }
)
"""Other names that the seeds' documents have for workflows, and the one that the ledger knows."""
