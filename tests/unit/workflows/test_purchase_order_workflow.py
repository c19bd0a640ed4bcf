"""purchase_order_workflow, as docs/seeds.md says it (003), with the payment that is ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from case_run import OPENED_AT

from sayso.contracts.workflow_io import TaskDecision
from sayso.settings import Settings

ORDER = {"order_id": "PO-1", "product": "bolts", "quantity": 3, "amount": "1200.00", "currency": "EUR"}


@pytest.mark.parametrize("cost", ["0", "999.99"])
def test_an_order_below_the_threshold_is_approved_by_itself(open_order: Any, cost: str) -> None:
    case = open_order(cost=cost)
    assert (case.run.result, case.run.call_names) == ("Auto-approved", ["close_case"])
    assert case.closing.outcome == "auto_approved"


@pytest.mark.parametrize("cost", ["1000", "1000.00", "1000.01"])
def test_an_order_of_exactly_the_threshold_needs_approval(open_order: Any, cost: str) -> None:
    assert open_order(cost=cost).run.status == "RUNNING"


def test_one_timer_is_enough_to_wait_for_a_decision_and_a_withdrawal(open_order: Any) -> None:
    case = open_order()
    assert case.run.timers == 1
    case.receive(case.event("withdraw_requested", order_id="PO-1", requester="mallory", reason="mine now"))
    assert (case.run.status, case.run.timers) == ("RUNNING", 1)


def test_an_approved_order_is_placed_then_paid_then_complete(open_order: Any) -> None:
    case = open_order()
    case.approve("bob")
    assert (case.run.status, case.run.call_names) == ("RUNNING", ["place_order"])
    placed = case.step("place_order")
    assert (placed.arguments, placed.stage) == (ORDER, "waits for payment")
    assert (placed.decision, placed.used) == (TaskDecision(decision="approve", decided_by="bob"), [11])
    (command,) = placed.publish
    assert (command.topic, command.type, command.slot) == (
        "payment-commands",
        "sayso.payment.requested.v1",
        "payment-requested",
    )
    assert command.data == {
        "order_id": "PO-1",
        "case": "case-PO-1",
        "amount": "1200.00",
        "currency": "EUR",
        "idempotency_key": "case-PO-1/payment-requested",
    }
    case.receive(case.paid())
    assert case.run.result == "Approved by 'bob'"
    assert case.run.call_names == ["place_order", "close_case"]
    assert (case.closing.outcome, case.closing.milestones) == ("completed", ["approved", "placed", "paid"])
    assert case.step("close_case").used == [12]


def test_an_approver_alone_is_an_approval_of_an_order(open_order: Any) -> None:
    case = open_order()
    case.receive(case.decided(approver="bob"))
    assert case.run.call_names == ["place_order"]
    case.receive(case.paid())
    assert case.run.result == "Approved by 'bob'"


def test_approved_alone_is_refused_because_nobody_stands_for_it(open_order: Any) -> None:
    case = open_order()
    case.receive(case.decided(approved=True))
    assert case.refusals == {11: "it names no approver, and no verified sender stands for one"}
    assert case.run.status == "RUNNING"


def test_a_rejected_order_is_cancelled(open_order: Any) -> None:
    case = open_order()
    case.reject("bob", "too dear")
    assert (case.run.result, case.run.call_names) == ("Rejected by 'bob'", ["cancel_order"])
    assert (case.closing.outcome, case.closing.reason) == ("rejected", "too dear")
    step = case.step("cancel_order")
    assert (step.arguments, step.decision) == (ORDER, TaskDecision(decision="reject", decided_by="bob", comment="too dear"))


def test_an_order_that_nobody_decides_within_24_hours_is_cancelled(open_order: Any) -> None:
    case = open_order()
    case.pass_time(hours=24, seconds=1)
    assert (case.run.result, case.run.call_names) == ("Cancelled", ["confirm_deadline", "cancel_order"])
    assert (case.closing.outcome, case.closing.reason) == ("timed_out", "No approval received within 24 hours")


def test_the_words_of_both_deadlines_follow_the_settings(open_order: Any) -> None:
    settings = Settings(purchase={"approval_timeout": "PT90S", "payment_timeout": "PT36H"})
    case = open_order(settings)
    case.pass_time(seconds=91)
    assert case.closing.reason == "No approval received within 90 seconds"
    case = open_order(settings)
    case.approve()
    case.pass_time(hours=36, seconds=1)
    assert case.closing.reason == "No payment received within 36 hours"


def test_an_order_that_is_not_paid_in_seven_days_is_cancelled(open_order: Any) -> None:
    case = open_order()
    case.pass_time(hours=20)
    case.approve()
    case.pass_time(days=7)
    assert case.run.status == "RUNNING"
    case.pass_time(seconds=1)
    assert case.run.result == "Cancelled"
    assert (case.closing.outcome, case.closing.reason) == ("payment_failed", "No payment received within 7 days")
    assert case.closing.milestones == ["approved", "placed", "cancelled"]
    assert case.deadlines[0]["waited_for"] == ["payment_received", "payment_failed"]
    assert case.deadlines[0]["deadline"] == "2026-01-13T05:00:00Z"


def test_a_failed_payment_cancels_the_order(open_order: Any) -> None:
    case = open_order()
    case.approve()
    case.receive(case.event("payment_failed", order_id="PO-1", reason="card declined"))
    assert (case.run.result, case.run.call_names) == ("Cancelled", ["place_order", "cancel_order"])
    assert (case.closing.outcome, case.closing.reason) == ("payment_failed", "card declined")
    assert case.step("cancel_order").used == [12]


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        ("600.00", "EUR", "paid 600.00 EUR, the order costs 1200.00 EUR"),
        ("1200.01", "EUR", "paid 1200.01 EUR, the order costs 1200.00 EUR"),
        ("1199.9999999999", "EUR", "paid 1199.9999999999 EUR, the order costs 1200.00 EUR"),
        ("0", "EUR", "paid 0 EUR, the order costs 1200.00 EUR"),
        ("1200.00", "USD", "paid in USD, the order is in EUR"),
    ],
)
def test_another_payment_is_refused_and_the_right_one_is_taken_afterwards(
    open_order: Any, amount: str, currency: str, reason: str
) -> None:
    case = open_order()
    case.approve()
    case.receive(case.paid(amount, currency))
    assert (case.run.status, case.refusals) == ("RUNNING", {12: reason})
    case.receive(case.paid("1200"))
    assert case.run.result == "Approved by 'bob'"
    assert case.used == [11, 13]


def test_a_payment_published_before_its_purchase_waits_until_the_order_is_placed(open_order: Any) -> None:
    case = open_order()
    case.receive(case.paid())
    assert (case.run.status, case.run.calls) == ("RUNNING", [])
    case.approve()
    assert (case.run.result, case.run.call_names) == ("Approved by 'bob'", ["place_order", "close_case"])
    assert (case.used, case.refusals) == ([12, 11], {})


def test_early_payments_are_taken_in_the_ledgers_order(open_order: Any) -> None:
    case = open_order()
    case.receive(case.paid("600"), case.event("payment_failed", order_id="PO-1", reason="card declined"), case.paid())
    case.approve()
    assert (case.closing.outcome, case.closing.reason) == ("payment_failed", "card declined")
    assert list(case.refusals) == [11]
    assert case.used == [14, 12]


def test_an_early_payment_is_not_touched_when_the_order_is_rejected(open_order: Any) -> None:
    case = open_order()
    case.receive(case.paid())
    case.reject()
    assert (case.run.result, case.used, case.refusals) == ("Rejected by 'bob'", [12], {})


def test_an_early_payment_does_not_delay_the_deadline_of_the_approval(open_order: Any) -> None:
    case = open_order()
    case.receive(case.paid())
    case.pass_time(hours=24, seconds=1)
    assert case.closing.outcome == "timed_out"
    assert case.deadlines[0]["waited_for"] == ["approval_received", "withdraw_requested"]


def test_two_payments_in_one_moment_pay_once(open_order: Any) -> None:
    case = open_order()
    case.approve()
    case.receive(case.paid(), case.paid())
    assert (case.closing.outcome, case.used, case.refusals) == ("completed", [11, 12], {})


def test_of_two_approvals_the_second_is_refused_while_the_order_waits_for_its_payment(open_order: Any) -> None:
    case = open_order()
    case.receive(case.decided(approved=True, approver="bob"), case.decided(approved=False, approver="carol"))
    assert case.run.call_names == ["place_order", "record_refusal"]
    assert case.refusals == {12: "the request has been decided already"}
    case.receive(case.paid())
    assert case.run.result == "Approved by 'bob'"


def test_an_approval_raised_twice_is_used_once(open_order: Any) -> None:
    case = open_order()
    approval = case.decided(approved=True, approver="bob")
    case.receive(approval, approval)
    case.receive(approval)
    assert (case.run.call_names, case.used) == (["place_order"], [11])


def test_the_requester_withdraws_an_order_that_waits(open_order: Any) -> None:
    case = open_order()
    case.receive(case.event("withdraw_requested", order_id="PO-1", requester="ALICE", reason="found some"))
    assert (case.run.result, case.run.call_names) == ("Cancelled", ["cancel_order"])
    assert (case.closing.outcome, case.closing.reason) == ("withdrawn", "found some")
    assert case.used == [11]


@pytest.mark.parametrize(("requester", "known"), [("alice", "alice"), (None, "unknown")])
def test_nobody_else_withdraws_an_order(open_order: Any, requester: str | None, known: str) -> None:
    case = open_order(requester=requester)
    case.receive(case.event("withdraw_requested", order_id="PO-1", requester="bob"))
    assert (case.run.status, case.refusals) == ("RUNNING", {11: f"only the requester ({known}) may withdraw, not bob"})
    case.approve()
    assert case.run.call_names == ["record_refusal", "place_order"]


def test_a_placed_order_is_not_withdrawn_any_more(open_order: Any) -> None:
    case = open_order()
    case.approve()
    case.receive(case.event("withdraw_requested", order_id="PO-1", requester="alice"))
    assert (case.run.status, case.refusals) == ("RUNNING", {12: "too late: the order is placed"})


@pytest.mark.parametrize("withdraw_first", [True, False])
def test_what_came_while_the_workflow_was_busy_is_taken_in_the_ledgers_order(open_order: Any, withdraw_first: bool) -> None:
    case = open_order()
    events = {
        True: lambda: case.event("withdraw_requested", order_id="PO-1", requester="alice"),
        False: lambda: case.decided(approved=True, approver="bob"),
    }
    with case.run.busy():
        case.receive(case.decided(approved=True))
        case.receive(events[withdraw_first]())
        case.receive(events[not withdraw_first]())
    assert case.run.call_names[:2] == ["record_refusal", "cancel_order" if withdraw_first else "place_order"]


def test_the_requester_does_not_approve_an_own_order(open_order: Any) -> None:
    case = open_order()
    case.receive(case.decided(approver="alice"))
    assert case.refusals == {11: "alice is the requester; nobody decides on an own request"}


def test_an_order_that_the_partner_refuses_is_cancelled_and_failed(open_order: Any) -> None:
    case = open_order(refusals={"place_order": "Bolts are sold out"})
    case.approve()
    assert (case.run.result, case.run.call_names) == ("Cancelled", ["place_order", "cancel_order"])
    assert (case.closing.outcome, case.closing.reason) == ("failed", "the order was not taken: Bolts are sold out")
    step = case.step("cancel_order")
    assert (step.used, step.decision) == ([11], TaskDecision(decision="approve", decided_by="bob"))


def test_a_cancellation_that_the_partner_refuses_still_ends_the_case_and_says_so(open_order: Any) -> None:
    case = open_order(refusals={"cancel_order": "Already shipped"})
    case.reject(reason="too dear")
    assert (case.run.result, case.run.call_names) == ("Rejected by 'bob'", ["cancel_order", "close_case"])
    assert case.closing.reason == "too dear; cancelling was refused: Already shipped"
    assert case.step("close_case").used == [11]


def test_an_approval_received_in_time_counts_although_the_timer_was_seen_first(open_order: Any) -> None:
    case = open_order()
    case.pending = [1, 0]
    case.pass_time(hours=24, seconds=1)
    case.receive(case.decided(OPENED_AT + timedelta(hours=24), approver="bob"))
    case.receive(case.paid())
    assert case.run.result == "Approved by 'bob'"


def test_a_payment_received_after_its_deadline_does_not_pay_and_is_left_for_its_refund(open_order: Any) -> None:
    """What is refused stays; what the case ends without is `unclaimed`, and the binding asks for the money to be given back."""
    case = open_order()
    case.approve()
    case.pass_time(days=7)
    late = case.paid()
    late[1]["received_at"] = (OPENED_AT + timedelta(days=7, milliseconds=1)).isoformat()
    case.receive(late)
    assert (case.run.status, case.refusals) == ("RUNNING", {})
    case.pass_time(seconds=1)
    assert (case.closing.outcome, case.used, case.refusals) == ("payment_failed", [11], {})


def test_a_decision_after_the_deadline_of_the_payment_is_refused_as_ever(open_order: Any) -> None:
    case = open_order()
    case.approve()
    case.pass_time(days=7)
    case.receive(case.decided(OPENED_AT + timedelta(days=7, milliseconds=1), approved=False, approver="carol"))
    assert case.refusals == {12: "it arrived at 2026-01-12 09:00:00 UTC, after the deadline"}


def test_a_payment_in_time_pays_although_a_later_one_was_seen_first(open_order: Any) -> None:
    case = open_order()
    case.approve()
    case.pass_time(days=7)
    late, in_time = case.paid(), case.paid()
    late[1]["received_at"] = (OPENED_AT + timedelta(days=7, milliseconds=1)).isoformat()
    case.receive(late)
    case.receive(in_time)
    assert (case.closing.outcome, case.used) == ("completed", [11, 13])


def test_a_timer_that_fires_before_its_time_by_the_ledgers_clock_ends_nothing(open_order: Any) -> None:
    """The engine's clock runs ten minutes ahead: the decision that comes in the last of them counts."""
    case = open_order()
    case.early = [timedelta(minutes=10), timedelta(minutes=5)]
    case.pass_time(hours=24, seconds=1)
    assert len(case.deadlines) == 1
    case.pass_time(minutes=5)
    assert len(case.deadlines) == 2
    case.receive(case.decided(received_at=OPENED_AT + timedelta(hours=23, minutes=59), approved=True, approver="bob"))
    assert case.step("place_order").decision is not None


def test_a_clock_that_ran_ahead_only_delays_the_end(open_order: Any) -> None:
    case = open_order()
    case.early = [timedelta(minutes=10)]
    case.pass_time(hours=24, seconds=1)
    assert not case.run.has_ended
    case.pass_time(minutes=5)
    assert case.closing.outcome == "timed_out"


def test_a_run_that_begins_anew_has_no_more_time_for_the_payment_than_the_lost_one(open_order: Any) -> None:
    case = open_order()
    case.recorded_at = OPENED_AT - timedelta(days=6)
    case.approve()
    case.pass_time(days=1, seconds=2)
    assert case.closing.outcome == "payment_failed"
