"""approval_workflow, as docs/seeds.md says it (000)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from case_run import OPENED_AT

from sayso.contracts.workflow_io import TaskDecision
from sayso.settings import Settings


@pytest.mark.parametrize("amount", ["0", "1", "999.99", "999.9999999999"])
def test_a_request_below_the_threshold_is_approved_by_itself_and_nobody_hears_of_it(open_request: Any, amount: str) -> None:
    case = open_request(amount=amount)
    assert case.run.result == {"status": "auto_approved", "request_id": "R-1", "reason": "Amount below approval threshold"}
    assert case.run.call_names == ["close_case"]
    assert (case.steps[0].notices, case.steps[0].publish, case.steps[0].used) == ([], [], [])
    assert case.closing.outcome == "auto_approved"


@pytest.mark.parametrize("amount", ["1000", "1000.00", "1000.01", "99999999999999"])
def test_a_request_at_or_above_the_threshold_waits_for_a_decision(open_request: Any, amount: str) -> None:
    case = open_request(amount=amount)
    assert (case.run.status, case.run.calls) == ("RUNNING", [])


def test_the_threshold_is_a_setting(open_request: Any) -> None:
    settings = Settings(approval={"auto_approve_below": 50})
    assert open_request(settings, amount="50").run.status == "RUNNING"
    assert open_request(settings, amount="49.99").run.result["status"] == "auto_approved"


def test_an_approved_request_is_executed_and_confirmed_in_one_step(open_request: Any) -> None:
    case = open_request()
    case.approve("bob")
    assert case.run.result == {"status": "approved", "request_id": "R-1", "approver": "bob"}
    assert case.run.call_names == ["execute_approved_action"]
    step = case.step("execute_approved_action")
    assert step.arguments == {
        "request_id": "R-1",
        "requester": "alice",
        "amount": "1000",
        "currency": "USD",
        "description": "a chair",
    }
    assert step.idempotency_key == "case-R-1/execute_approved_action/0"
    assert step.decision == TaskDecision(decision="approve", decided_by="bob")
    assert step.used == [11]
    assert [(notice.name, notice.recipient) for notice in step.notices] == [("send_approval_confirmation", "alice")]
    assert (case.closing.outcome, case.closing.milestones) == ("approved", ["approved"])


def test_a_wait_costs_one_timer_however_the_case_goes_on(open_request: Any) -> None:
    """Every timer is a job of Dapr's scheduler, written, kept and removed."""
    case = open_request()
    case.approve("bob")
    assert [event.WhichOneof("eventType") for event in case.run.history].count("timerCreated") == 1


def test_a_rejected_request_tells_its_requester_why(open_request: Any) -> None:
    case = open_request()
    case.reject("bob", "too dear")
    assert case.run.result == {"status": "rejected", "request_id": "R-1", "approver": "bob", "reason": "too dear"}
    assert case.run.call_names == ["close_case"]
    (notice,) = case.step("close_case").notices
    assert (notice.name, notice.recipient, notice.body) == ("send_rejection_notification", "alice", "Rejected by bob: too dear")
    assert (case.closing.outcome, case.closing.reason) == ("rejected", "too dear")


def test_a_rejection_without_a_reason_has_none(open_request: Any) -> None:
    case = open_request()
    case.reject("bob")
    assert case.run.result["reason"] is None


def test_nobody_decides_for_three_days_and_the_request_times_out(open_request: Any) -> None:
    case = open_request()
    case.pass_time(days=3)
    assert case.run.status == "RUNNING", "what was received in the last moment gets a second to be in the ledger"
    case.pass_time(seconds=1)
    reason = "No approval received within 3 days"
    assert case.run.result == {"status": "timeout", "request_id": "R-1", "reason": reason}
    assert case.run.call_names == ["confirm_deadline", "close_case"]
    (notice,) = case.step("close_case").notices
    assert (notice.name, notice.recipient, notice.body) == ("send_timeout_notification", "alice", reason)
    assert case.closing.outcome == "timed_out"
    assert case.deadlines == [
        {
            "case": case.case.model_dump(mode="json"),
            "deadline": "2026-01-08T09:00:00Z",
            "waited_for": ["approval_received", "withdraw_requested"],
            "handled": [],
            "direct": [],
        }
    ]


@pytest.mark.parametrize(
    ("timeout", "words"),
    [
        (timedelta(seconds=30), "30 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=24), "24 hours"),
        (timedelta(hours=48), "48 hours"),
        (timedelta(days=14), "14 days"),
    ],
)
def test_the_words_of_the_time_out_follow_the_setting(open_request: Any, timeout: timedelta, words: str) -> None:
    case = open_request(Settings(approval={"timeout": timeout}))
    case.run.advance(timeout + timedelta(seconds=1))
    assert case.run.result["reason"] == f"No approval received within {words}"


def test_a_decision_that_comes_before_the_timer_wins(open_request: Any) -> None:
    case = open_request()
    case.pass_time(days=3)
    case.receive(case.decided(OPENED_AT + timedelta(days=3), approved=True, approver="bob"))
    assert case.run.result["status"] == "approved"


def test_a_decision_received_in_time_counts_although_the_timer_was_seen_first(open_request: Any) -> None:
    case = open_request()
    case.pending = [1, 1, 0]
    case.pass_time(days=3, seconds=2)
    assert case.run.call_names == ["confirm_deadline", "confirm_deadline"], "asked again after a second"
    case.receive(case.decided(OPENED_AT + timedelta(days=3), approved=True, approver="bob"))
    assert case.run.result == {"status": "approved", "request_id": "R-1", "approver": "bob"}


def test_a_decision_received_after_the_deadline_does_not_count_although_it_comes_first(open_request: Any) -> None:
    case = open_request()
    case.receive(case.decided(OPENED_AT + timedelta(days=3, milliseconds=1), approved=True, approver="bob"))
    assert case.refusals == {11: "it arrived at 2026-01-08 09:00:00 UTC, after the deadline"}
    case.pass_time(days=3, seconds=1)
    assert case.run.result["status"] == "timeout"
    assert case.deadlines[0]["handled"] == [11]


def test_what_the_ledger_still_has_to_deliver_is_waited_for_with_growing_pauses_but_not_for_ever(open_request: Any) -> None:
    case = open_request()
    case.pending = [1] * 1_000
    case.pass_time(days=4)
    assert case.run.result["status"] == "timeout"
    assert len(case.deadlines) == 100
    assert case.run.now >= OPENED_AT + timedelta(days=3, hours=7)


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        ({"approved": True}, "it names no approver, and no verified sender stands for one"),
        ({"approver": "bob"}, "`approved` must be true or false"),
        ({"approved": True, "approver": "alice"}, "alice is the requester; nobody decides on an own request"),
        ({"approved": False, "approver": "alice"}, "alice is the requester; nobody decides on an own request"),
        ({"approved": True, "approver": " ALICE "}, "ALICE is the requester; nobody decides on an own request"),
    ],
)
def test_a_decision_that_the_gate_refuses_leaves_the_wait_as_it_was(open_request: Any, decision: Any, reason: str) -> None:
    case = open_request()
    case.receive(case.decided(**decision))
    assert (case.run.status, case.run.call_names, case.refusals) == ("RUNNING", ["record_refusal"], {11: reason})
    case.approve("bob")
    assert case.run.result["approver"] == "bob"
    assert case.used == [12]


def test_of_two_approvals_at_once_the_first_counts(open_request: Any) -> None:
    case = open_request()
    case.receive(case.decided(approved=True, approver="bob"), case.decided(approved=True, approver="carol"))
    assert case.run.result["approver"] == "bob"
    assert (case.used, case.refusals) == ([11], {}), "the ledger marks the other one unclaimed when it closes the case"


@pytest.mark.parametrize(("first", "status"), [(True, "approved"), (False, "rejected")])
def test_of_approve_and_reject_in_one_moment_the_first_in_the_ledger_counts(open_request: Any, first: bool, status: str) -> None:
    case = open_request()
    case.receive(case.decided(approved=first, approver="bob"), case.decided(approved=not first, approver="carol"))
    assert case.run.result["status"] == status


def test_a_decision_raised_twice_is_used_once(open_request: Any) -> None:
    case = open_request()
    wrong = case.decided(approved=True)
    case.receive(wrong, wrong)
    case.receive(wrong)
    assert case.run.call_names == ["record_refusal"]
    right = case.decided(approved=True, approver="bob")
    case.receive(right, right)
    assert case.used == [12]


def test_an_action_that_the_service_refuses_ends_the_case_as_failed(open_request: Any) -> None:
    case = open_request(refusals={"execute_approved_action": "Budget is closed"})
    case.approve("bob")
    assert case.run.result == {"status": "failed", "request_id": "R-1", "approver": "bob", "reason": "Budget is closed"}
    assert case.run.call_names == ["execute_approved_action", "close_case"]
    assert (case.closing.outcome, case.closing.reason) == ("failed", "Budget is closed")
    closing = case.step("close_case")
    assert (closing.used, closing.decision) == ([11], TaskDecision(decision="approve", decided_by="bob"))


def test_a_flood_of_200_events_loses_none_and_keeps_their_order(open_request: Any) -> None:
    case = open_request()
    flood = [case.decided(approved=True, approver="alice") for _ in range(200)]
    with case.run.busy():
        case.receive(*flood[:100])
        case.receive(*flood[100:], case.decided(approved=True, approver="bob"))
    assert list(case.refusals) == list(range(11, 211))
    assert (case.run.result["approver"], case.used) == ("bob", [211])


def test_a_flood_after_the_deadline_does_not_keep_the_deadline_from_passing(open_request: Any) -> None:
    case = open_request()
    case.receive(case.decided(approved=True, approver="alice"))
    late = OPENED_AT + timedelta(days=3, seconds=1)
    with case.run.busy():
        case.receive(case.decided(approved=True, approver="alice"))
        case.pass_time(days=3, seconds=1)
        case.receive(*[case.decided(late, approved=True, approver="bob") for _ in range(50)])
    assert case.run.result["status"] == "timeout"
