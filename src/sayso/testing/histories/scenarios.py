"""The scenarios whose histories are recorded: one row a workflow and outcome, and the roads that differ on the way.

A row says what is sent and when, and how the case must end. A workflow that is new gets its rows here; then
`python -m sayso.testing.histories --missing` records them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

APPROVAL, PAYMENT = "waits for approval", "waits for payment"
NOT_ALLOWED = "http://169.254.169.254/"
HASTY = "hasty"
"""The stack whose deadlines are a few seconds away; on the patient one nothing ends by itself."""
STAGED = "staged"
"""The stack on which purchases are decided in stages by several people, and a task soon goes to the director."""


@dataclass(frozen=True)
class Send:
    """One event. `{key}` in its data stands for the case's key, `{partners}` for the address of the partner service.

    `when` is what the case must wait for before, `asked` the stage of its policy's plan on which people must be asked.
    """

    type: str
    data: dict[str, Any]
    when: str | None = None
    asked: str | None = None


@dataclass(frozen=True)
class Scenario:
    """`refuse` is a step whose idempotency key somebody has used for something else, so that the service refuses it."""

    workflow: str
    name: str
    outcome: str
    sends: tuple[Send, ...]
    stack: str = "patient"
    refuse: str | None = None
    faults: tuple[dict[str, Any], ...] = ()
    """Rules for the partner service (`PUT /faults`); `{key}` stands for the case's key."""

    @property
    def title(self) -> str:
        """Of the row and its file."""
        return f"{self.workflow}.{self.name}"


def _request(amount: str = "2500") -> Send:
    data = {"request_id": "{key}", "requester": "alice", "amount": amount, "description": "Conference"}
    return Send("com.acme.request.submitted.v1", data)


def _purchase(cost: str = "1250.00") -> Send:
    data = {"order_id": "{key}", "cost": cost, "product": "Laptop", "quantity": 1, "requester": "alice"}
    return Send("com.acme.purchase.requested.v1", data)


def _task(priority: str = "high") -> Send:
    data = {"task_id": "{key}", "title": "Move the servers", "assignee": "bob", "priority": priority, "requester": "alice"}
    return Send("com.acme.task.requested.v1", data)


def _decision(field_name: str, *, approved: bool = True, by: str = "carol") -> Send:
    data = {field_name: "{key}", "approved": approved, "approver": by, "reason": "as discussed"}
    return Send("sayso.approval.decided.v1", data, when=APPROVAL)


def _paid(amount: str = "1250.00") -> Send:
    data = {"order_id": "{key}", "payment_id": "pay-1", "amount": amount, "currency": "USD"}
    return Send("com.acme.payment.captured.v1", data, when=PAYMENT)


def _submitted() -> Send:
    return Send("com.acme.task.submitted.v1", {"task_id": "{key}", "title": "Move the servers", "assignee": "bob", "priority": "high"})


def _order(amount: str = "480.00") -> Send:
    data = {"order_id": "{key}", "product": "cable", "quantity": 2, "amount": amount, "requester": "alice"}
    return Send("com.acme.order.placed.v1", data)


def _trip() -> Send:
    return Send("com.acme.trip.requested.v1", {"trip_id": "{key}", "traveller": "carol", "destination": "Vienna"})


def _escalation(amount: str = "1800") -> Send:
    data = {"request_id": "{key}", "amount": amount, "requester": "alice", "description": "Forklift"}
    return Send("com.acme.order.approval-requested.v1", data)


def _batch(offset: int = 0) -> Send:
    return Send("com.acme.batch.submitted.v1", {"batch_id": "{key}", "count": 3, "offset": offset, "limit": 1})


def _chain(value: int = 10) -> Send:
    return Send("com.acme.task-chain.submitted.v1", {"chain_id": "{key}", "value": value})


def _monitor(kind: str, verb: str, when: str | None = None, **fields: Any) -> Send:
    return Send(f"com.acme.{kind}-monitor.{verb}.v1", {"job_id": "{key}", **fields}, when)


def _large() -> Send:
    """Of two persons, then the director."""
    data = {"order_id": "{key}", "cost": "12000.00", "currency": "EUR", "product": "Press", "quantity": 1, "requester": "alice"}
    return Send("com.acme.purchase.requested.v1", data)


def _vote(field_name: str, by: str, stage: str, *, approved: bool = True) -> Send:
    data = {field_name: "{key}", "approved": approved, "approver": by, "reason": "as discussed"}
    return Send("sayso.approval.decided.v1", data, asked=stage)


def _changed(matter: str, verb: str, field_name: str, when: str = APPROVAL, **fields: Any) -> Send:
    return Send(f"com.acme.{matter}.{verb}.v1", {field_name: "{key}", "requester": "alice", **fields}, when=when)


def _decided(workflow: str, field_name: str, *, approved: bool = True) -> Send:
    data = {"workflow": workflow, field_name: "{key}", "approved": approved, "approver": "carol", "reason": "as discussed"}
    return Send("sayso.approval.decided.v1", data, when=APPROVAL)


def _refused(resource: str, *, undo: bool = False) -> dict[str, Any]:
    return {"resource": resource, "undo": undo, "subject": "{key}", "status": 422}


TOO_LARGE = 2**53 - 4
"""Beyond what the partner service counts with."""
_WITHDRAWN = Send("com.acme.purchase.withdrawn.v1", {"order_id": "{key}", "requester": "alice", "reason": "not needed"}, when=APPROVAL)
_UNPAID = Send("com.acme.payment.failed.v1", {"order_id": "{key}", "reason": "card declined"}, when=PAYMENT)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("approval_workflow", "auto_approved", "auto_approved", (_request("999"),)),
    Scenario("approval_workflow", "approved", "approved", (_request(), _decision("request_id"))),
    Scenario("approval_workflow", "rejected", "rejected", (_request(), _decision("request_id", approved=False))),
    Scenario("approval_workflow", "timed_out", "timed_out", (_request(),), stack=HASTY),
    Scenario("approval_workflow", "failed", "failed", (_request(), _decision("request_id")), refuse="execute_approved_action"),
    Scenario(
        "approval_workflow",
        "own_decision_refused",
        "approved",
        (_request(), _decision("request_id", by="alice"), _decision("request_id")),
    ),
    Scenario("purchase_order_workflow", "auto_approved", "auto_approved", (_purchase("999.99"),)),
    Scenario("purchase_order_workflow", "completed", "completed", (_purchase(), _decision("order_id"), _paid())),
    Scenario("purchase_order_workflow", "rejected", "rejected", (_purchase(), _decision("order_id", approved=False))),
    Scenario("purchase_order_workflow", "timed_out", "timed_out", (_purchase(),), stack=HASTY),
    Scenario("purchase_order_workflow", "withdrawn", "withdrawn", (_purchase(), _WITHDRAWN)),
    Scenario("purchase_order_workflow", "withdrawn_one_timer", "withdrawn", (_purchase(), _WITHDRAWN)),
    Scenario("purchase_order_workflow", "completed_one_timer", "completed", (_purchase(), _decision("order_id"), _paid())),
    Scenario("purchase_order_workflow", "timed_out_one_timer", "timed_out", (_purchase(),), stack=HASTY),
    Scenario("purchase_order_workflow", "payment_failed", "payment_failed", (_purchase(), _decision("order_id"), _UNPAID)),
    Scenario("purchase_order_workflow", "never_paid", "payment_failed", (_purchase(), _decision("order_id")), stack=HASTY),
    Scenario("purchase_order_workflow", "failed", "failed", (_purchase(), _decision("order_id")), refuse="place_order"),
    Scenario(
        "purchase_order_workflow",
        "wrong_amount_first",
        "completed",
        (_purchase(), _decision("order_id"), _paid("1.00"), _paid()),
    ),
    Scenario("task_approval_workflow", "auto_approved", "auto_approved", (_task("low"),)),
    Scenario("task_approval_workflow", "approved", "approved", (_task(), _decision("task_id"))),
    Scenario("task_approval_workflow", "rejected", "rejected", (_task(), _decision("task_id", approved=False))),
    Scenario("task_approval_workflow", "timed_out", "timed_out", (_task(),), stack=HASTY),
    Scenario("task_approval_workflow", "failed", "failed", (_task(), _decision("task_id")), refuse="assign_task"),
    # By a policy's plan. Those above are of before there were policies, when the settings alone decided.
    Scenario("approval_workflow", "by_policy", "approved", (_request(), _decision("request_id"))),
    Scenario("approval_workflow", "by_policy_rejected", "rejected", (_request(), _decision("request_id", approved=False))),
    Scenario("approval_workflow", "by_policy_timed_out", "timed_out", (_request(),), stack=HASTY),
    Scenario("approval_workflow", "by_policy_withdrawn", "withdrawn", (_request(), _changed("request", "withdrawn", "request_id"))),
    Scenario(
        "approval_workflow",
        "by_policy_amended",
        "approved",
        (
            _request(),
            _changed("request", "amended", "request_id", changes={"amount": "1900"}),
            _vote("request_id", "carol", "approval/2"),
        ),
    ),
    Scenario("purchase_order_workflow", "by_policy", "completed", (_purchase(), _decision("order_id"), _paid())),
    Scenario(
        "purchase_order_workflow",
        "by_policy_withdrawn_unpaid",
        "withdrawn",
        (_purchase(), _decision("order_id"), _changed("purchase", "withdrawn", "order_id", PAYMENT, reason="found some")),
    ),
    Scenario(
        "purchase_order_workflow",
        "by_three_people",
        "completed",
        (
            _large(),
            _vote("order_id", "carol", "finance"),
            _vote("order_id", "alice", "finance"),
            _vote("order_id", "erin", "finance"),
            _vote("order_id", "dave", "director"),
            Send(
                "com.acme.payment.captured.v1",
                {"order_id": "{key}", "payment_id": "pay-1", "amount": "12000.00", "currency": "EUR"},
                when=PAYMENT,
            ),
        ),
        stack=STAGED,
    ),
    Scenario(
        "purchase_order_workflow",
        "by_three_people_amended",
        "rejected",
        (
            _large(),
            _vote("order_id", "carol", "finance"),
            _changed("purchase", "amended", "order_id", changes={"cost": "13000.00"}),
            _vote("order_id", "carol", "finance/2"),
            _vote("order_id", "bob", "finance/2"),
            _vote("order_id", "dave", "director/2", approved=False),
        ),
        stack=STAGED,
    ),
    Scenario("task_approval_workflow", "by_policy", "approved", (_task(), _decision("task_id"))),
    Scenario("task_approval_workflow", "by_director", "approved", (_task(), _vote("task_id", "dave", "director")), stack=STAGED),
    Scenario("task_approval_workflow", "by_policy_timed_out", "timed_out", (_task(),), stack=HASTY),
    Scenario("request_escalation", "by_policy", "approved", (_escalation(), _decided("request_escalation", "request_id"))),
    Scenario("order_saga", "by_policy", "completed", (_order("1200.00"), _decided("order_saga", "order_id"))),
    Scenario("task_processing_saga", "completed", "completed", (_submitted(),)),
    Scenario("task_processing_saga", "compensated", "compensated", (_submitted(),), faults=(_refused("dashboard"),)),
    Scenario(
        "task_processing_saga",
        "failed",
        "failed",
        (_submitted(),),
        faults=(_refused("dashboard"), _refused("capacity", undo=True)),
    ),
    Scenario("order_saga", "completed", "completed", (_order(),)),
    Scenario("order_saga", "approved", "completed", (_order("1200.00"), _decided("order_saga", "order_id"))),
    Scenario("order_saga", "rejected", "rejected", (_order("1200.00"), _decided("order_saga", "order_id", approved=False))),
    Scenario("order_saga", "timed_out", "timed_out", (_order("1200.00"),), stack=HASTY),
    Scenario("order_saga", "compensated", "compensated", (_order(),), faults=(_refused("shipments"),)),
    Scenario("order_saga", "failed", "failed", (_order(),), faults=(_refused("shipments"), _refused("payments", undo=True))),
    Scenario("book_trip", "completed", "completed", (_trip(),)),
    Scenario("book_trip", "compensated", "compensated", (_trip(),), faults=(_refused("cars"),)),
    Scenario("book_trip", "failed", "failed", (_trip(),), faults=(_refused("cars"), _refused("flights", undo=True))),
    Scenario("request_escalation", "auto_approved", "auto_approved", (_escalation("999"),)),
    Scenario("request_escalation", "approved", "approved", (_escalation(), _decided("request_escalation", "request_id"))),
    Scenario(
        "request_escalation", "rejected", "rejected", (_escalation(), _decided("request_escalation", "request_id", approved=False))
    ),
    Scenario("request_escalation", "timed_out", "timed_out", (_escalation(),), stack=HASTY),
    Scenario(
        "request_escalation",
        "failed",
        "failed",
        (_escalation(), _decided("request_escalation", "request_id")),
        faults=(_refused("escalations"),),
    ),
    Scenario("batch_processing_workflow", "completed", "completed", (_batch(),)),
    Scenario("batch_processing_workflow", "failed", "failed", (_batch(TOO_LARGE),)),
    Scenario("task_chain_workflow", "completed", "completed", (_chain(),)),
    Scenario("task_chain_workflow", "failed", "failed", (_chain(TOO_LARGE),)),
    Scenario("health_monitor_workflow", "failed", "failed", (_monitor("health", "started", target=NOT_ALLOWED),)),
    Scenario(
        "health_monitor_workflow",
        "stopped",
        "completed",
        (
            _monitor("health", "started", target="{partners}/nothing-here"),
            _monitor("health", "stopped", when="has made 1 checks, unhealthy 1 times in a row"),
        ),
    ),
    Scenario("status_monitor_workflow", "failed", "failed", (_monitor("status", "started", target=NOT_ALLOWED),)),
    Scenario(
        "status_monitor_workflow",
        "stopped",
        "completed",
        (
            _monitor("status", "started", target="{partners}/health"),
            _monitor("status", "stopped", when="has made 1 checks, healthy"),
        ),
    ),
    Scenario("job_status_monitor", "completed", "completed", (_monitor("job", "started", target="{partners}/jobs/{key}"),)),
    Scenario("job_status_monitor", "failed", "failed", (_monitor("job", "started", target="{partners}/jobs/fail-{key}"),)),
    Scenario(
        "job_status_monitor",
        "stopped",
        "cancelled",
        (
            _monitor("job", "started", target="{partners}/health"),
            _monitor("job", "stopped", when="has made 1 checks"),
        ),
    ),
)
