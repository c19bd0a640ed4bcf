"""Cases whose request is decided by a policy's plan: rounds, votes, reminders, escalation, deadlines, changes of mind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from case_run import OPENED_AT, CaseRun

from sayso.contracts.approval_plan import ApprovalPlan, Quorum, Seat, StagePlan, Wait
from sayso.contracts.workflow_io import StepInput

HOUR = 3_600


def stage(name: str, *holders: str, quorum: str = "any", of: int | None = None, hours: float = 48, **more: Any) -> StagePlan:
    seats = tuple(Seat(holder=holder) for holder in holders)
    rule = Quorum.model_validate({"kind": quorum, "of": of})
    known = {"asked": holders, "forbidden": ("alice",)}
    return StagePlan(name=name, seats=seats, quorum=rule, wait=Wait(seconds=hours * HOUR), **(known | more))


def plan(*rounds: tuple[StagePlan, ...], **more: Any) -> ApprovalPlan:
    known = {"policy": "purchases", "version": "1", "policy_hash": "0" * 64, "request_hash": "a" * 64, "rule": "r"}
    return ApprovalPlan(**(known | {"rounds": rounds} | more))


TWO_STAGES = plan((stage("manager", "bob", "carol"),), (stage("board", "dave", "erin", "frank", quorum="number", of=2),))


@pytest.fixture
def open_order(open_case: Any) -> Any:
    """Open a purchase order of 1200.00 EUR by alice, which this plan decides."""

    def open_one(approval: ApprovalPlan, replanned: ApprovalPlan | None = None, **options: Any) -> CaseRun:
        order = {"order_id": "PO-1", "cost": "1200.00", "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
        return open_case("purchase_order_workflow", "PO-1", order, approval=approval, replanned=replanned, **options)

    return open_one


def change(case: CaseRun, wanted: str, channel: str = "topic", **data: Any) -> None:
    name, payload = case.event("change_requested", change=wanted, **data)
    case.receive((name, payload | {"channel": channel}))


def withdraw(case: CaseRun, requester: str = "alice") -> None:
    case.receive(case.event("withdraw_requested", order_id="PO-1", requester=requester, reason="found some"))


def votes(step: StepInput) -> list[list[str]]:
    assert step.approval is not None
    return [[vote.person for vote in one.votes] for one in step.approval.stages]


def test_a_request_that_the_policy_lets_pass_asks_nobody(open_order: Any) -> None:
    case = open_order(plan(automatic=True))
    assert (case.run.result, case.run.call_names) == ("Auto-approved", ["close_case"])


def test_the_last_vote_of_a_round_rides_with_opening_the_next_and_the_last_of_all_with_what_follows(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    assert case.run.call_names == []
    case.approve("bob")
    assert case.run.call_names == ["open_stages"]
    assert (votes(case.step("open_stages")), case.step("open_stages").used) == ([["bob"], []], [11])
    case.approve("dave")
    assert case.run.call_names == ["open_stages", "record_approval"]
    assert votes(case.step("record_approval")) == [["bob"], ["dave"]]
    case.approve("erin")
    assert case.run.call_names == ["open_stages", "record_approval", "place_order"]
    placed = case.step("place_order")
    assert (votes(placed), placed.used) == ([["bob"], ["dave", "erin"]], [13])
    assert placed.decision is not None
    assert placed.decision.decided_by == "erin"
    case.receive(case.paid())
    assert case.closing.outcome == "completed"
    assert case.step("close_case").approval is None


def test_a_rejection_ends_the_case_in_the_words_of_who_rejected(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    case.reject("carol", "too dear")
    assert (case.closing.outcome, case.run.result, case.closing.reason) == ("rejected", "Rejected by 'carol'", "too dear")
    assert case.run.call_names == ["cancel_order"]


def test_what_the_gate_refuses_is_recorded_at_once_and_the_case_goes_on(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    case.approve("alice")
    case.approve("dave")
    assert case.refusals == {
        11: "alice is the requester; nobody decides on an own request",
        12: "dave is not asked on manager: bob, carol is",
    }
    assert case.run.call_names == ["record_refusal", "record_refusal"]


def test_two_decisions_of_one_moment_are_judged_in_the_ledgers_order_also_across_stages(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    case.receive(case.decided(approved=True, approver="bob"), case.decided(approved=True, approver="dave"))
    assert case.run.call_names == ["open_stages", "record_approval"]
    assert case.used == [11, 12]


def test_nobody_decides_and_the_case_times_out_in_the_stages_own_words(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    case.pass_time(hours=48)
    assert not case.run.has_ended
    case.pass_time(seconds=1)
    assert (case.closing.outcome, case.closing.reason) == ("timed_out", "No approval received within 48 hours")
    assert case.run.call_names == ["confirm_deadline", "cancel_order"]
    assert case.deadlines[0]["waited_for"] == ["approval_received", "withdraw_requested", "change_requested"]


DIRECTOR = stage("director", "dave", hours=48)
ESCALATES = plan((stage("manager", "bob", then="escalate", escalation=DIRECTOR),), wait_in_all={"seconds": 72 * HOUR})


def test_a_stage_is_escalated_to_the_director_and_the_time_in_all_goes_on(open_order: Any) -> None:
    case = open_order(ESCALATES)
    case.pass_time(hours=48, seconds=1)
    assert case.run.call_names == ["confirm_deadline", "open_stages"]
    case.approve("bob")
    assert "bob is not asked on director" in next(iter(case.refusals.values()))
    case.pass_time(hours=24)
    assert (case.closing.outcome, case.closing.reason) == ("timed_out", "No approval received within 3 days")


def test_the_director_decides_instead(open_order: Any) -> None:
    case = open_order(ESCALATES)
    case.pass_time(hours=49)
    case.approve("dave")
    assert case.run.call_names == ["confirm_deadline", "open_stages", "place_order"]


def test_a_decision_in_time_counts_although_the_timer_was_seen_first(open_order: Any) -> None:
    case = open_order(ESCALATES)
    case.pending = [1, 0]
    case.pass_time(hours=48, seconds=1)
    assert case.run.call_names == ["confirm_deadline"]
    case.receive(case.decided(OPENED_AT + timedelta(hours=48), approved=True, approver="bob"))
    assert case.run.call_names == ["confirm_deadline", "place_order"]


def test_a_withdrawal_after_the_deadline_is_too_late_although_nobody_has_seen_the_timer(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    case.pending = [1, 0]
    case.pass_time(hours=48, seconds=1)
    at = OPENED_AT + timedelta(hours=48, milliseconds=1)
    case.receive(case.event("withdraw_requested", at, order_id="PO-1", requester="alice"))
    assert case.refusals == {11: "it arrived at 2026-01-07 09:00:00 UTC, after the deadline"}
    case.pass_time(seconds=10)
    assert case.closing.outcome == "timed_out"


def test_what_never_arrives_is_not_waited_for_without_end(open_order: Any) -> None:
    case = open_order(ESCALATES)
    case.pending = [1] * 100
    case.pass_time(hours=72)
    assert case.run.call_names[:101] == ["confirm_deadline"] * 100 + ["open_stages"]


def test_reminders_go_out_in_their_time_and_no_deadline_is_asked_for_them(open_order: Any) -> None:
    case = open_order(plan((stage("manager", "bob", reminders=[{"seconds": 8 * HOUR}, {"seconds": 24 * HOUR}]),)))
    case.pass_time(hours=30)
    assert case.run.call_names == ["record_approval", "record_approval"]
    assert [note.action for step in case.steps for note in step.notes] == ["reminded", "reminded"]
    case.pass_time(hours=20)
    assert case.closing.outcome == "timed_out"


def test_of_reminders_that_were_missed_while_all_was_down_one_goes_out(open_order: Any) -> None:
    case = open_order(plan((stage("manager", "bob", reminders=[{"seconds": HOUR}, {"seconds": 2 * HOUR}]),)))
    with case.run.busy():
        case.pass_time(hours=10)
    assert case.run.call_names == ["record_approval"]


def test_silence_approves_where_the_policy_says_so_and_nobody_is_named_for_it(open_order: Any) -> None:
    case = open_order(plan((stage("manager", "bob", then="approve"),)))
    case.pass_time(hours=49)
    case.receive(case.paid())
    assert case.run.result == "Approved by 'policy purchases'"


def test_a_delegate_decides_in_the_place_of_who_was_asked(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    change(case, "delegate", by="bob", to="gina")
    assert case.run.call_names == ["record_approval"]
    (note,) = case.step("record_approval").notes
    assert (note.action, note.actor, note.detail) == ("delegated", "bob", {"to": "gina"})
    case.approve("gina")
    approval = case.step("open_stages").approval
    assert approval is not None
    assert approval.stages[0].votes[0].on_behalf_of == "bob"


def test_only_operators_reassign_and_cancel(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    change(case, "reassign", to="gina", actor="root", reason="away")
    change(case, "cancel", actor="root", reason="by mistake")
    assert list(case.refusals.values()) == ["only an operator may reassign", "only an operator may cancel"]
    change(case, "reassign", channel="operator", to="gina", actor="root", reason="away")
    case.approve("bob")
    assert list(case.refusals.values())[2] == "bob is not asked on manager: bob, carol is"
    change(case, "cancel", channel="operator", actor="root", reason="by mistake")
    assert (case.closing.outcome, case.closing.reason, case.run.result) == ("cancelled", "by mistake", "Cancelled")


def test_the_requester_withdraws_after_a_stage_and_nobody_else_does(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    case.approve("bob")
    withdraw(case, "bob")
    assert list(case.refusals.values()) == ["only the requester (alice) may withdraw, not bob"]
    withdraw(case)
    assert (case.closing.outcome, case.closing.reason) == ("withdrawn", "found some")


def test_an_order_is_withdrawn_while_it_waits_for_its_payment_and_a_later_payment_is_not_used(open_order: Any) -> None:
    case = open_order(plan((stage("manager", "bob"),)))
    case.approve("bob")
    withdraw(case, "mallory")
    assert "only the requester" in case.refusals[12]
    change(case, "amend", requester="alice", changes={"cost": "1"})
    assert case.refusals[13] == "too late: the request has been decided already"
    withdraw(case)
    assert (case.run.result, case.closing.outcome) == ("Cancelled", "withdrawn")
    assert case.closing.milestones == ["approved", "placed", "cancelled"]
    assert case.run.call_names[-1] == "cancel_order"


def test_an_operator_cancels_an_order_that_waits_for_its_payment(open_order: Any) -> None:
    case = open_order(plan((stage("manager", "bob"),)))
    case.approve("bob")
    change(case, "cancel", channel="operator", actor="root", reason="fraud")
    assert (case.closing.outcome, case.closing.reason) == ("cancelled", "fraud")


def test_an_amendment_is_asked_about_again_and_what_is_placed_is_the_order_as_it_became(open_order: Any) -> None:
    after = TWO_STAGES.model_copy(update={"request_version": 2, "request_hash": "b" * 64})
    case = open_order(TWO_STAGES, replanned=after)
    case.approve("bob")
    change(case, "amend", requester="alice", changes={"cost": "900.00"})
    assert case.run.call_names == ["open_stages", "amend_request"]
    assert case.step("amend_request").used == [12]
    case.receive(case.decided(approved=True, approver="bob", request_hash="a" * 64))
    assert "it is about another request" in case.refusals[13]
    case.approve("carol")
    case.approve("dave")
    case.approve("frank")
    assert case.step("place_order").arguments["amount"] == "900.00"
    case.receive(case.paid("900.00"))
    assert case.closing.outcome == "completed"


def test_an_operator_has_a_waiting_request_planned_anew_and_who_is_still_asked_keeps_the_votes(open_order: Any) -> None:
    (manager, (board,)) = TWO_STAGES.rounds
    smaller = plan(manager, (board.model_copy(update={"quorum": Quorum.model_validate({"kind": "any"})}),), request_version=2)
    case = open_order(TWO_STAGES, replanned=smaller)
    change(case, "replan", actor="root", reason="the rules are new")
    assert case.refusals == {11: "only an operator may replan"}
    case.approve("bob")
    change(case, "replan", channel="operator", actor="root", reason="the rules are new")
    assert case.step("amend_request").arguments == {"changes": {}, "is_direct": False}
    (note,) = case.step("amend_request").notes
    assert (note.action, note.actor, note.detail) == ("replanned", "root", {"reason": "the rules are new"})
    case.approve("dave")
    assert case.run.call_names[-1] == "place_order"
    assert votes(case.step("place_order"))[-1] == ["dave"]


def test_only_the_requester_amends_and_what_the_policy_declines_changes_nothing(open_order: Any) -> None:
    case = open_order(TWO_STAGES)
    change(case, "amend", requester="bob", changes={"cost": "1"})
    assert case.refusals == {11: "only the requester (alice) may amend the request, not bob"}
    change(case, "amend", requester="alice", changes={"cost": "1200.00"})
    case.approve("bob")
    assert case.run.call_names == ["record_refusal", "amend_request", "open_stages"]


@pytest.mark.parametrize(
    ("workflow", "key", "request_"),
    [
        ("approval_workflow", "R-1", {"request_id": "R-1", "requester": "alice", "amount": "1000"}),
        (
            "task_approval_workflow",
            "T-1",
            {"task_id": "T-1", "title": "x", "assignee": "carol", "priority": "high", "requester": "alice"},
        ),
        ("order_saga", "O-1", {"order_id": "O-1", "product": "x", "quantity": 1, "amount": "1200", "requester": "alice"}),
        ("request_escalation", "E-1", {"request_id": "E-1", "amount": "1200", "requester": "alice"}),
    ],
)
def test_every_workflow_with_an_approval_is_withdrawn_before_its_first_irreversible_step(
    open_case: Any, workflow: str, key: str, request_: dict[str, Any]
) -> None:
    case = open_case(workflow, key, request_, approval=plan((stage("manager", "bob"),)))
    change(case, "withdraw", requester="bob")
    assert list(case.refusals.values()) == ["only the requester (alice) may withdraw, not bob"]
    change(case, "withdraw", requester="alice", reason="not needed")
    assert (case.closing.outcome, case.closing.reason) == ("withdrawn", "not needed")
    assert case.run.call_names == ["record_refusal", "close_case"]
