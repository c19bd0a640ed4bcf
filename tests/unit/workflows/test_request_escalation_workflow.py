"""request_escalation, as docs/seeds.md says it (004)."""

from __future__ import annotations

from typing import Any

import pytest
from case_run import CaseRun
from pydantic import ValidationError

from sayso.contracts.requests import EscalationRequested
from sayso.contracts.workflow_io import TaskDecision


@pytest.fixture
def open_escalation(open_case: Any) -> Any:
    """Open an escalation of 1000 USD by alice; fields and refusals can be changed."""

    def open_one(refusals: dict[str, str] | None = None, **changed: Any) -> CaseRun:
        order = {"request_id": "E-1", "requester": "alice", "amount": "1000", "currency": "USD", "description": "a forklift"}
        case: CaseRun = open_case("request_escalation", "E-1", order | changed, refusals=refusals)
        return case

    return open_one


def human(case: CaseRun, **decision: Any) -> None:
    case.receive(case.event("human_approval", **decision))


def test_an_order_below_the_threshold_is_approved_by_its_activity(open_escalation: Any) -> None:
    case = open_escalation(amount="999.99")
    assert case.run.call_names == ["auto_approve_activity"]
    assert case.run.result == {"status": "auto_approved", "request_id": "E-1"}
    assert case.closing.outcome == "auto_approved"


def test_an_order_of_exactly_the_threshold_waits_for_a_human(open_escalation: Any) -> None:
    case = open_escalation()
    assert (case.run.status, case.run.calls) == ("RUNNING", [])


def test_an_order_without_an_amount_is_refused_and_not_taken_for_a_small_one() -> None:
    with pytest.raises(ValidationError, match="amount"):
        EscalationRequested.model_validate({"request_id": "E-1", "requester": "alice"})


@pytest.mark.parametrize(("approved", "outcome"), [(True, "approved"), (False, "rejected")])
def test_the_decision_is_processed_also_a_rejection(open_escalation: Any, approved: bool, outcome: str) -> None:
    case = open_escalation()
    human(case, approved=approved, approver="bob", reason="as agreed")
    result = {"status": outcome, "request_id": "E-1", "approver": "bob", "reason": "as agreed"}
    assert case.run.call_names == ["process_approval_activity"]
    assert case.run.result == result
    step = case.step("process_approval_activity")
    assert step.arguments["decision"] == result
    verb = "approve" if approved else "reject"
    assert step.decision == TaskDecision(decision=verb, decided_by="bob", comment="as agreed")
    assert (case.closing.outcome, case.used) == (outcome, [11])


def test_nobody_decides_for_seven_days_and_the_time_out_is_handled(open_escalation: Any) -> None:
    case = open_escalation()
    case.pass_time(days=7)
    assert case.run.status == "RUNNING"
    case.pass_time(seconds=1)
    assert case.run.call_names == ["confirm_deadline", "handle_timeout_activity"]
    reason = "No approval received within 7 days"
    assert case.run.result == {"status": "timeout", "request_id": "E-1", "reason": reason}
    assert case.deadlines[0]["waited_for"] == ["human_approval", "withdraw_requested"]


def test_approved_alone_is_refused_because_nobody_stands_for_it_and_the_wait_goes_on(open_escalation: Any) -> None:
    case = open_escalation()
    human(case, approved=True)
    assert case.refusals == {11: "it names no approver, and no verified sender stands for one"}
    human(case, approved=True, approver="alice")
    human(case, approved=True, approver="bob")
    assert case.run.result["approver"] == "bob"


def test_an_order_without_a_requester_can_be_decided_by_anybody(open_escalation: Any) -> None:
    case = open_escalation(requester=None)
    human(case, approved=True, approver="alice")
    assert case.run.result["status"] == "approved"


@pytest.mark.parametrize("activity", ["auto_approve_activity", "process_approval_activity"])
def test_what_the_service_refuses_ends_the_case_as_failed(open_escalation: Any, activity: str) -> None:
    case = open_escalation({activity: "the desk is closed"}, amount="1" if activity == "auto_approve_activity" else "1000")
    if case.run.status == "RUNNING":
        human(case, approved=True, approver="bob")
    assert case.run.result["status"] == "failed"
    assert (case.closing.outcome, case.closing.reason) == ("failed", "the desk is closed")
