"""Every contract: unknown fields are tolerated, wrong types are refused with a reason that names the field."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sayso.contracts.approvals import ApprovalDecided
from sayso.contracts.catalog import CHANGE_EVENT, DECISION_EVENTS, EVENT_TYPES, WITHDRAW_EVENT, WORKFLOWS
from sayso.contracts.payload import explain

AT = "2026-11-20T09:00:00Z"
GOOD: dict[str, dict[str, Any]] = {
    "com.acme.request.submitted.v1": {"request_id": "R-1", "requester": "carol", "amount": "10.00"},
    "com.acme.purchase.requested.v1": {"order_id": "PO-1", "cost": "10.00", "product": "pen", "quantity": 1},
    "com.acme.purchase.withdrawn.v1": {"order_id": "PO-1", "requester": "carol"},
    "com.acme.purchase.amended.v1": {"order_id": "PO-1", "requester": "carol", "changes": {"cost": "11.00"}},
    "com.acme.request.withdrawn.v1": {"request_id": "R-1", "requester": "carol"},
    "com.acme.request.amended.v1": {"request_id": "R-1", "requester": "carol", "changes": {"amount": "11.00"}},
    "com.acme.task.withdrawn.v1": {"task_id": "T-1", "requester": "carol"},
    "com.acme.task.amended.v1": {"task_id": "T-1", "requester": "carol", "changes": {"title": "u"}},
    "com.acme.order.withdrawn.v1": {"order_id": "O-1", "requester": "carol"},
    "com.acme.order.approval-withdrawn.v1": {"request_id": "E-1", "requester": "carol"},
    "sayso.approval.delegated.v1": {"order_id": "PO-1", "by": "bob", "to": "dave"},
    "sayso.decision.refused.v1": {"case": "c", "workflow": "w", "key": "k", "reason": "r", "refused_at": AT},
    "com.acme.task.requested.v1": {"task_id": "T-1", "title": "t", "assignee": "bob", "priority": "high"},
    "com.acme.task.submitted.v1": {"task_id": "T-1", "title": "t", "assignee": "bob", "priority": "high"},
    "com.acme.order.placed.v1": {"order_id": "O-1", "product": "pen", "quantity": 1, "amount": "10.00"},
    "com.acme.trip.requested.v1": {"trip_id": "TR-1", "traveller": "carol", "destination": "Vienna"},
    "com.acme.order.approval-requested.v1": {"request_id": "E-1", "amount": "10.00"},
    "com.acme.batch.submitted.v1": {"batch_id": "B-1", "count": 3},
    "com.acme.task-chain.submitted.v1": {"chain_id": "C-1", "value": 10},
    "com.acme.payment.captured.v1": {"order_id": "PO-1", "amount": "10.00"},
    "com.acme.payment.failed.v1": {"order_id": "PO-1"},
    "sayso.approval.decided.v1": {"order_id": "PO-1", "approved": True, "approver": "alice"},
    "sayso.approval.requested.v1": {
        "case": "c",
        "workflow": "w",
        "key": "k",
        "stage": "approval",
        "due_at": AT,
        "request": {"a": 1},
    },
    "sayso.payment.requested.v1": {
        "order_id": "PO-1",
        "case": "c",
        "amount": "10.00",
        "currency": "USD",
        "idempotency_key": "i",
    },
    "sayso.payment.refund-requested.v1": {
        "order_id": "PO-1",
        "amount": "10.00",
        "currency": "USD",
        "idempotency_key": "i",
        "answers": {"source": "/payments", "id": "p", "type": "com.acme.payment.captured.v1", "state": "late", "reason": "r"},
    },
    "sayso.case.closed.v1": {
        "case": "c",
        "workflow": "w",
        "key": "k",
        "generation": 1,
        "outcome": "approved",
        "result": None,
        "opened_at": AT,
        "closed_at": AT,
    },
    "sayso.event.dead.v1": {"left_out": "too large"},
    "sayso.saga.compensation-failed.v1": {
        "case": "c",
        "workflow": "order_saga",
        "key": "O-1",
        "step": "ship_order",
        "undo": "cancel_shipment",
        "error": "e",
        "booking": None,
        "failed_at": AT,
    },
    **{
        f"com.acme.{kind}-monitor.{verb}.v1": {"job_id": "J-1"}
        for kind in ("health", "status", "job")
        for verb in ("started", "changed", "paused", "resumed", "stopped")
    },
    "sayso.monitor.alerted.v1": {
        "case": "c",
        "workflow": "health_monitor_workflow",
        "key": "J-1",
        "job_id": "J-1",
        "severity": "warning",
        "message": "m",
        "check_count": 1,
        "consecutive_failures": 1,
        "checked_at": AT,
    },
    "sayso.alert.raised.v1": {"kind": "k", "reason": "r", "raised_at": AT},
    "sayso.audit.anchored.v1": {"ledger": "l", "number": 1, "seal": "s", "anchored_at": AT},
}
REQUIRED = [
    (name, field) for name, data in GOOD.items() for field in data if EVENT_TYPES[name].model.model_fields[field].is_required()
]


def complaint(event_type: str, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        EVENT_TYPES[event_type].model.model_validate(GOOD[event_type] | fields)
    return explain(caught.value)


def test_every_contract_is_tested_here() -> None:
    assert GOOD.keys() == EVENT_TYPES.keys()


@pytest.mark.parametrize("event_type", GOOD)
def test_unknown_fields_are_tolerated_and_not_passed_on(event_type: str) -> None:
    model = EVENT_TYPES[event_type].model
    plain = model.model_validate(GOOD[event_type])
    assert model.model_validate(GOOD[event_type] | {"added_later": {"deep": [1]}}) == plain
    assert "added_later" not in plain.model_dump()


@pytest.mark.parametrize(("event_type", "field"), REQUIRED)
def test_a_missing_field_is_named(event_type: str, field: str) -> None:
    data = {name: value for name, value in GOOD[event_type].items() if name != field}
    with pytest.raises(ValidationError) as caught:
        EVENT_TYPES[event_type].model.model_validate(data)
    assert explain(caught.value) == f"`{field}`: field required"


@pytest.mark.parametrize(
    ("event_type", "field"), [pair for pair in REQUIRED if pair[1] not in ("result", "request", "answers", "booking", "changes")]
)
@pytest.mark.parametrize("value", [[], {"a": 1}])
def test_a_field_of_another_kind_is_named(event_type: str, field: str, value: object) -> None:
    assert complaint(event_type, **{field: value}).startswith(f"`{field}`: ")


@pytest.mark.parametrize("event_type", GOOD)
def test_a_contract_is_immutable(event_type: str) -> None:
    event = EVENT_TYPES[event_type].model.model_validate(GOOD[event_type])
    with pytest.raises(ValidationError, match="frozen"):
        setattr(event, next(iter(GOOD[event_type])), "changed")


@pytest.mark.parametrize(
    ("event_type", "fields", "words"),
    [
        ("com.acme.purchase.requested.v1", {"quantity": 0}, "`quantity`: input should be greater than or equal to 1"),
        ("com.acme.purchase.requested.v1", {"quantity": 1.5}, "`quantity`: input should be a valid integer"),
        ("com.acme.purchase.requested.v1", {"quantity": "1"}, "`quantity`: input should be a valid integer"),
        ("com.acme.purchase.requested.v1", {"quantity": True}, "`quantity`: input should be a valid integer"),
        ("com.acme.purchase.requested.v1", {"product": ""}, "`product`: string should have at least 1 character"),
        ("com.acme.purchase.requested.v1", {"requester": "  "}, "`requester`: string should have at least 1 character"),
        ("com.acme.purchase.requested.v1", {"order_id": ""}, "`order_id`: string should have at least 1 character"),
        ("com.acme.purchase.requested.v1", {"order_id": 1.5}, "`order_id`: input should be a valid string"),
        ("com.acme.purchase.requested.v1", {"order_id": True}, "`order_id`: input should be a valid string"),
        ("com.acme.purchase.requested.v1", {"order_id": "x" * 501}, "`order_id`: string should have at most 500 characters"),
        ("com.acme.request.submitted.v1", {"requester": "x" * 321}, "`requester`: string should have at most 320 characters"),
        ("com.acme.request.submitted.v1", {"currency": "EURO"}, "`currency`: string should match pattern"),
        ("com.acme.task.requested.v1", {"priority": "whenever"}, "`priority`: input should be 'low', 'medium', 'normal'"),
        ("com.acme.task.requested.v1", {"priority": "LOW"}, "`priority`: input should be 'low'"),
        ("sayso.approval.decided.v1", {"approved": "yes"}, "`approved`: input should be a valid boolean"),
        ("sayso.approval.decided.v1", {"approved": 1}, "`approved`: input should be a valid boolean"),
        (
            "sayso.approval.decided.v1",
            {"approved": None, "approver": None},
            "a decision needs `approved` (true or false), `approver`, or both",
        ),
    ],
)
def test_a_wrong_value_is_refused_readably(event_type: str, fields: dict[str, Any], words: str) -> None:
    assert complaint(event_type, **fields).startswith(words)


def test_several_wrong_fields_are_named_together() -> None:
    words = complaint("com.acme.purchase.requested.v1", quantity=0, product="")
    assert "`product`: " in words
    assert "`quantity`: " in words


def test_a_whole_number_as_a_key_is_its_digits() -> None:
    model = EVENT_TYPES["com.acme.purchase.requested.v1"].model
    order: Any = model.model_validate(GOOD["com.acme.purchase.requested.v1"] | {"order_id": 12345678901234567890})
    assert order.order_id == "12345678901234567890"


def test_a_person_is_without_outer_blanks_and_a_key_is_as_it_came() -> None:
    model = EVENT_TYPES["com.acme.request.submitted.v1"].model
    request: Any = model.model_validate(GOOD["com.acme.request.submitted.v1"] | {"requester": " carol ", "request_id": " R 1 "})
    assert (request.requester, request.request_id) == ("carol", " R 1 ")


@pytest.mark.parametrize("data", [{"approved": True, "approver": "a", "reason": "r"}, {"approver": "a"}, {"approved": False}])
def test_the_three_decision_payloads_of_the_seeds_are_understood(data: dict[str, Any]) -> None:
    EVENT_TYPES["sayso.approval.decided.v1"].model.model_validate(data)


# The catalog.


@pytest.mark.parametrize("more", [{"Approved": False}, {"decision": "rejected"}, {"reason": "too dear"}, {"status": 0}])
def test_an_approver_with_more_than_a_name_is_not_taken_for_an_approval(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"without {next(iter(more))}: say `approved`"):
        ApprovalDecided.model_validate({"order_id": "PO-1", "approver": "bob"} | more)


def test_what_is_null_is_not_more_than_an_approver() -> None:
    data = {"order_id": "PO-1", "approver": "bob", "approved": None, "reason": None, "comment": None}
    assert ApprovalDecided.model_validate(data).approver == "bob"


def test_event_types_are_versioned_and_topics_have_one_direction() -> None:
    assert all(name.rpartition(".v")[2].isdigit() for name in EVENT_TYPES)
    inbound = {kind.topic for kind in EVENT_TYPES.values() if kind.direction == "in"}
    outbound = {kind.topic for kind in EVENT_TYPES.values() if kind.direction == "out"}
    assert not inbound & outbound, "Sayso would read what it publishes"
    assert {kind.direction for kind in EVENT_TYPES.values()} == {"in", "out"}


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_is_keyed_by_a_field_of_its_request(workflow: str) -> None:
    contract = WORKFLOWS[workflow]
    assert contract.request.model_fields[contract.key_field].is_required()


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_event_names_are_unique_whatever_their_case(workflow: str) -> None:
    names = [name.lower() for name in WORKFLOWS[workflow].events]
    assert len(names) == len(set(names)), "Dapr ignores case"


def test_only_workflows_that_wait_for_it_can_be_withdrawn() -> None:
    able = {name for name, contract in WORKFLOWS.items() if {WITHDRAW_EVENT, CHANGE_EVENT} & contract.events.keys()}
    assert able == {name for name, contract in WORKFLOWS.items() if DECISION_EVENTS & contract.events.keys()}
