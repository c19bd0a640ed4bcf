"""The rules: what passes by itself, how long the rest waits, and how durations are said."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from sayso.contracts.catalog import WORKFLOWS
from sayso.contracts.requests import Priority
from sayso.contracts.workflow_io import Plan, Retries
from sayso.policy import POLICIES, asks_nobody, in_words
from sayso.settings import (
    ApprovalSettings,
    EscalationSettings,
    OrderSettings,
    PurchaseSettings,
    RetrySettings,
    SagaSettings,
    Settings,
    TaskSettings,
)

DAY = 86_400


def plan_of(workflow: str, **changed: Any) -> Plan:
    return POLICIES[workflow].plan(Settings(**changed))


def test_every_workflow_has_a_policy() -> None:
    assert POLICIES.keys() == WORKFLOWS.keys()


@pytest.mark.parametrize(("workflow", "field"), [("approval_workflow", "amount"), ("purchase_order_workflow", "cost")])
@pytest.mark.parametrize(
    ("amount", "automatic"),
    [("0", True), ("999.99", True), ("999.9999999999", True), ("1000", False), ("1000.00", False), ("1000.01", False)],
)
def test_below_the_threshold_passes_by_itself_and_exactly_on_it_does_not(
    workflow: str, field: str, amount: str, automatic: bool
) -> None:
    assert POLICIES[workflow].automatic(plan_of(workflow), {field: amount}) is automatic


def test_the_threshold_is_a_setting() -> None:
    purchase = PurchaseSettings(auto_approve_below=Decimal("0.10"))
    plan = plan_of("purchase_order_workflow", purchase=purchase)
    assert POLICIES["purchase_order_workflow"].automatic(plan, {"cost": "0.09"})
    assert not POLICIES["purchase_order_workflow"].automatic(plan, {"cost": "0.1"})
    nothing = plan_of("approval_workflow", approval=ApprovalSettings(auto_approve_below=Decimal(0)))
    assert not POLICIES["approval_workflow"].automatic(nothing, {"amount": "0"})


@pytest.mark.parametrize("priority", Priority)
def test_only_low_priority_passes_by_itself(priority: Priority) -> None:
    policy = POLICIES["task_approval_workflow"]
    assert policy.automatic(plan_of("task_approval_workflow"), {"priority": priority.value}) is (priority is Priority.LOW)


def test_the_deadlines_are_those_of_the_seeds() -> None:
    assert plan_of("approval_workflow").approval_timeout_seconds == 3 * DAY
    assert plan_of("purchase_order_workflow").approval_timeout_seconds == DAY
    assert plan_of("purchase_order_workflow").payment_timeout_seconds == 7 * DAY
    assert plan_of("task_approval_workflow").approval_timeout_seconds == 2 * DAY


def test_the_deadlines_are_settings() -> None:
    minute = timedelta(minutes=1)
    purchase = PurchaseSettings(approval_timeout=minute, payment_timeout=2 * minute)
    changed: dict[str, Any] = {
        "approval": ApprovalSettings(timeout=minute),
        "purchase": purchase,
        "task": TaskSettings(manager_timeout=minute),
    }
    changed["order"] = OrderSettings(approval_timeout=minute)
    changed["escalation"] = EscalationSettings(timeout=minute)
    asking = [workflow for workflow, policy in POLICIES.items() if policy.automatic is not asks_nobody]
    assert [plan_of(workflow, **changed).approval_timeout_seconds for workflow in asking] == [60] * len(asking)
    assert plan_of("purchase_order_workflow", **changed).payment_timeout_seconds == 120


def test_who_asks_nobody_passes_by_itself_and_has_no_time_for_an_approval() -> None:
    for workflow in ("task_processing_saga", "book_trip"):
        assert POLICIES[workflow].automatic(plan_of(workflow), {})
        assert plan_of(workflow).approval_timeout_seconds == 0


def test_the_retries_of_a_saga_are_settings() -> None:
    plan = plan_of("book_trip", saga=SagaSettings(retries=RetrySettings(first_interval=timedelta(seconds=2), attempts=3)))
    assert plan.retries == Retries(first_interval_seconds=2, coefficient=2, interval_max_seconds=60, attempts=3)
    assert plan.undo_retries is not None
    assert plan.undo_retries.attempts == SagaSettings().undo_retries.attempts


@pytest.mark.parametrize("workflow", POLICIES)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_plan_carries_whether_raw_raises_are_accepted(workflow: str, accepted: bool) -> None:
    assert plan_of(workflow, accept_raw_raise=accepted).accept_raw_raise is accepted


def test_a_plan_survives_the_way_through_json() -> None:
    plan = plan_of("purchase_order_workflow")
    assert Plan.model_validate(plan.model_dump(mode="json")) == plan


REQUESTS: dict[str, dict[str, Any]] = {
    "approval_workflow": {"request_id": "R-1", "requester": "carol", "amount": "2500.00", "description": "Stand"},
    "purchase_order_workflow": {"order_id": "PO-1", "cost": "1250.00", "product": "laptop", "quantity": 2},
    "task_approval_workflow": {"task_id": "T-1", "title": "Migrate", "assignee": "bob", "priority": "high"},
    "task_processing_saga": {"task_id": "T-1", "title": "Migrate", "assignee": "bob", "priority": "high"},
    "order_saga": {"order_id": "O-1", "product": "cable", "quantity": 2, "amount": "480.00"},
    "book_trip": {"trip_id": "TR-1", "traveller": "carol", "destination": "Vienna"},
    "request_escalation": {"request_id": "E-1", "amount": "1800", "description": "Forklift"},
    "batch_processing_workflow": {"batch_id": "B-1", "count": 3, "offset": 4},
    "task_chain_workflow": {"chain_id": "C-1", "value": 10},
}


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        ("approval_workflow", "2500.00 USD: Stand"),
        ("purchase_order_workflow", "laptop (2) for 1250.00 USD"),
        ("task_approval_workflow", "Migrate (high) for bob"),
        ("task_processing_saga", "Migrate (high) for bob"),
        ("order_saga", "cable (2) for 480.00 USD"),
        ("book_trip", "a trip of carol to Vienna"),
        ("request_escalation", "1800 USD: Forklift"),
        ("batch_processing_workflow", "3 items from 5"),
        ("task_chain_workflow", "a chain from 10"),
    ],
)
def test_a_request_is_described_for_people(workflow: str, words: str) -> None:
    request = WORKFLOWS[workflow].request.model_validate(REQUESTS[workflow]).model_dump(mode="json")
    assert POLICIES[workflow].describe(request) == words


def test_a_request_without_a_description_is_described_by_its_id() -> None:
    request = {"request_id": "R-1", "amount": "5", "currency": "USD", "description": ""}
    assert POLICIES["approval_workflow"].describe(request) == "5 USD: R-1"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3 * DAY, "3 days"),  # 000, and the 72 hours of the director
        (DAY, "24 hours"),  # 003
        (2 * DAY, "48 hours"),  # 001, 002
        (7 * DAY, "7 days"),  # 004
        (3_600, "1 hour"),
        (36 * 3_600, "36 hours"),
        (5_400, "90 minutes"),
        (300, "5 minutes"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (5, "5 seconds"),
        (1, "1 second"),
        (0.5, "0.5 seconds"),
        (2.25, "2.25 seconds"),
        (1_000_001, "1000001 seconds"),
        (30 * DAY, "30 days"),
    ],
)
def test_durations_are_said_as_the_seeds_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
