"""Decisions on the stages of a policy's plan: who may, on what, in time; and what the stages make of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from plan_making import OPENED, Approval, plan, seat, stage

from sayso.gate.stages import next_deadline, next_reminder, reminded, to_remind

GROUP = {"managers": ("bob", "carol")}


def test_stages_follow_each_other_and_the_last_approval_approves() -> None:
    case = Approval(plan(stage("manager", "bob"), stage("finance", "carol")))
    assert case.says("bob", comment="fine")
    assert (case.outcome, case.asked) == (None, ["finance"])
    assert case.says("carol")
    assert (case.outcome, case.state.by) == ("approved", "carol")


def test_one_rejection_of_a_stage_ends_the_whole_in_the_words_of_who_rejected() -> None:
    case = Approval(plan((stage("manager", "bob"), stage("finance", "carol")), stage("director", "dave")))
    assert case.says("carol", "reject", comment="too dear")
    assert (case.outcome, case.state.by, case.state.reason) == ("rejected", "carol", "too dear")
    assert not case.says("bob")
    assert case.why == "the request has been decided already"


def test_stages_of_a_round_are_asked_together_and_all_must_approve() -> None:
    case = Approval(plan((stage("manager", "bob"), stage("finance", "carol")), stage("director", "dave")))
    assert case.asked == ["manager", "finance"]
    assert case.says("carol")
    assert case.asked == ["manager"]
    assert case.says("bob")
    assert case.asked == ["director"]


def test_of_an_approval_and_a_rejection_in_the_same_moment_the_first_in_the_ledger_counts() -> None:
    case = Approval(plan(stage("manager", "bob", "carol")))
    assert case.says("bob", seq=7)
    assert not case.says("carol", "reject", seq=8)
    assert case.outcome == "approved"
    other = Approval(plan(stage("manager", "bob", "carol")))
    assert other.says("carol", "reject", seq=7)
    assert not other.says("bob", seq=8)
    assert other.outcome == "rejected"


@pytest.mark.parametrize("person", ["alice", "Alice", " ALICE "])
def test_the_requester_decides_on_no_stage_in_no_spelling(person: str) -> None:
    case = Approval(plan(stage("manager", "alice", "bob")))
    assert not case.says(person)
    assert case.why.endswith("is the requester; nobody decides on an own request")


def test_who_is_not_asked_is_told_who_is() -> None:
    case = Approval(plan(stage("manager", "bob", asked=("managers",))))
    assert not case.says("mallory")
    assert case.why == "mallory is not asked on manager: managers is"


def test_a_stand_in_decides_in_the_place_of_the_holder_and_the_seat_is_filled_once() -> None:
    case = Approval(plan(stage("manager", seat("bob", "erin"), "carol", quorum="all")))
    assert case.says("erin")
    (vote,) = case.stage("manager").votes
    assert (vote.seat, vote.on_behalf_of) == ("bob", "bob")
    assert not case.says("Bob")
    assert case.why == "the seat of bob on manager is filled already"
    assert case.says("carol")
    assert case.outcome == "approved"


def test_one_person_fills_one_seat_also_who_stands_in_for_another() -> None:
    case = Approval(plan(stage("board", "bob", seat("carol", "bob"), quorum="all")))
    assert case.says("bob")
    assert case.stage("board").votes[0].on_behalf_of is None
    assert not case.says("BOB", on_behalf_of="carol")
    assert case.why == "BOB has decided on board already; one person fills one seat"


def test_whose_place_it_is_can_be_said() -> None:
    case = Approval(plan(stage("board", "bob", seat("carol", "bob"), quorum="number", of=1)))
    assert case.says("bob", on_behalf_of="carol")
    assert case.stage("board").votes[0].seat == "carol"
    assert not Approval(case.plan).says("bob", on_behalf_of="dave")


def test_an_earlier_decider_does_not_decide_again_where_the_stage_wants_others() -> None:
    two = plan(stage("manager", "bob"), stage("director", "bob", "dave"))
    case = Approval(two)
    assert case.says("bob")
    assert not case.says("bob")
    assert "has decided on another stage" in case.why
    assert case.says("dave")
    lax = Approval(plan(stage("manager", "bob"), stage("director", "bob", not_earlier_deciders=False)))
    assert lax.says("bob")
    assert lax.says("bob")
    assert lax.outcome == "approved"


def test_membership_counts_as_it_is_when_the_decision_is_delivered() -> None:
    case = Approval(plan(stage("manager", seat("bob", group="managers"), seat("carol", group="managers"), asked=("managers",))))
    assert not case.says("bob", members={"managers": ("carol",)})
    assert case.why == "bob is not a member of managers, who are asked"
    assert not case.says("bob")
    assert "nobody looks up who is a member of managers" in case.why
    assert not case.says("bob", members={})
    assert "was changed while this was on its way" in case.why
    assert case.says("Carol", members=GROUP)


def test_a_decision_about_another_version_of_the_request_is_refused() -> None:
    case = Approval(plan(stage("manager", "bob"), request_version=2))
    assert not case.says("bob", request_version=1)
    assert case.why == "it is about version 1 of the request, which is now version 2"
    assert not case.says("bob", request_hash="b" * 64)
    assert "it is about another request" in case.why
    assert case.says("bob", request_version=2, request_hash="a" * 64)


@pytest.mark.parametrize(
    ("rule", "answer", "needed"), [("always", "approve", True), ("on-reject", "approve", False), ("on-reject", "reject", True)]
)
def test_a_stage_may_want_words(rule: str, answer: str, needed: bool) -> None:
    case = Approval(plan(stage("manager", "bob", comment=rule)))
    assert case.says("bob", answer) is not needed
    if needed:
        assert case.why == "manager wants a reason with the decision: give `reason`"
        assert case.says("bob", answer, comment="because")


def test_a_stage_can_be_named_and_one_that_is_not_open_says_so() -> None:
    case = Approval(plan((stage("manager", "bob"), stage("budget", "bob")), stage("director", "dave")))
    assert not case.says("bob")
    assert case.why == "bob may decide on manager and on budget: name the `stage`"
    assert case.says("bob", stage="budget")
    assert not case.says("carol", stage="budget")
    assert case.why == "the stage budget is over: approved"
    assert not case.says("dave", stage="director")
    assert case.why == "the stage director is not open yet"
    assert not case.says("dave", stage="board")
    assert case.why == "there is no stage board; open: manager"


def test_where_anyone_may_decide_the_first_who_is_not_forbidden_does() -> None:
    case = Approval(plan(stage("approval", anyone=True, asked=("managers",))))
    assert not case.says("alice")
    assert not case.says("zoe", "abstain")
    assert case.says("zoe")
    assert case.outcome == "approved"


# Time.


@pytest.mark.parametrize(("then", "outcome"), [("timeout", "timed_out"), ("approve", "approved"), ("reject", "rejected")])
def test_a_deadline_does_what_the_stage_says(then: str, outcome: str) -> None:
    case = Approval(plan(stage("manager", "bob", then=then)))
    case.passes(hours=47)
    assert case.outcome is None
    case.passes(hours=1)
    assert (case.outcome, case.state.by) == (outcome, None)


def test_what_comes_after_the_deadline_is_refused_although_nobody_has_seen_the_timer() -> None:
    case = Approval(plan(stage("manager", "bob")))
    case.now = OPENED + timedelta(hours=48)
    assert case.says("bob")
    late = Approval(plan(stage("manager", "bob")))
    late.now = OPENED + timedelta(hours=48, milliseconds=1)
    assert not late.says("bob")
    assert late.why == "it arrived at 2026-03-04 09:00:00 UTC, after the deadline"


def test_a_deadline_escalates_to_the_director_who_is_asked_instead() -> None:
    director = stage("director", "dave", hours=24)
    case = Approval(plan(stage("manager", "bob", then="escalate", escalation=director)))
    case.passes(hours=48)
    assert case.asked == ["director"]
    assert not case.says("bob")
    assert case.says("dave")
    assert case.outcome == "approved"
    assert case.stage("manager").why == "the time is over"


def test_the_time_in_all_ends_it_whoever_is_asked() -> None:
    director = stage("director", "dave", hours=48)
    case = Approval(plan(stage("manager", "bob", then="escalate", escalation=director), wait_in_all={"seconds": 72 * 3600}))
    case.passes(hours=48)
    case.passes(hours=24)
    assert (case.outcome, case.state.reason) == ("timed_out", "the time in all is over")


def test_all_deadlines_that_passed_while_nobody_looked_fire_once_in_their_order() -> None:
    case = Approval(plan((stage("one", "bob", hours=2, then="approve"), stage("two", "carol", hours=1, then="reject"))))
    case.passes(hours=500)
    assert case.outcome == "rejected"
    assert [each.status for each in case.state.stages] == ["open", "rejected"]


def test_silence_is_no_veto() -> None:
    case = Approval(plan(stage("board", "bob", "carol", "dave", quorum="veto")))
    assert case.says("bob", "abstain")
    case.passes(hours=48)
    assert case.outcome == "approved"
    vetoed = Approval(plan(stage("board", "bob", "carol", quorum="veto")))
    assert vetoed.says("carol", "reject")
    assert vetoed.outcome == "rejected"


@pytest.mark.parametrize("seats", [(), ("alice",)])
def test_a_stage_that_nobody_can_decide_is_escalated_when_it_is_opened(seats: tuple[str, ...]) -> None:
    case = Approval(plan(stage("manager", *seats, then="escalate", escalation=stage("director", "dave"))))
    assert case.asked == ["director"]
    assert case.stage("manager").stranded
    assert case.stage("manager").why == "nobody, or too few, could decide on it"


def test_a_stage_that_is_asked_of_too_few_is_stranded_and_keeps_its_deadline() -> None:
    case = Approval(plan(stage("one", "bob"), stage("two", "bob", seat("carol", "bob"), quorum="all", then="reject")))
    assert case.says("bob")
    assert case.stage("two").stranded
    case.passes(hours=48)
    assert case.outcome == "rejected"


def test_reminders_are_due_one_after_the_other_and_what_was_missed_is_made_up_for_once() -> None:
    case = Approval(plan(stage("manager", "bob", reminders=[{"seconds": 3600}, {"seconds": 7200}, {"seconds": 9000}])))
    assert next_reminder(case.state) == OPENED + timedelta(hours=1)
    case.state = reminded(case.state, OPENED + timedelta(hours=1))
    assert next_reminder(case.state) == OPENED + timedelta(hours=2)
    later = OPENED + timedelta(hours=20)
    assert [each.name for each in to_remind(case.state, later)] == ["manager"]
    case.state = reminded(case.state, later)
    assert next_reminder(case.state) > next_deadline(case.state) == OPENED + timedelta(hours=48)
