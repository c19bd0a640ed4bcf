"""Delegating, reassigning, amending, withdrawing, cancelling: through the same gate, with the same four eyes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from plan_making import OPENED, Approval, plan, seat, stage

from sayso.contracts.approval_plan import ApprovalPlan
from sayso.contracts.approval_state import Delegation
from sayso.gate.changes import amend, cancel, delegate, reassign, withdraw


def passes_on(case: Approval, by: str, to: str, **more: Any) -> bool:
    return case.take(delegate(case.plan, case.state, Delegation(by=by, to=to, **more), case.now))


def gives(case: Approval, to: str, **more: Any) -> bool:
    return case.take(reassign(case.plan, case.state, to, case.now, actor=more.pop("actor", "root"), **more))


def becomes(case: Approval, after: ApprovalPlan, *changed: str) -> bool:
    answer = amend(case.plan, case.state, after, changed)
    before, case.plan = case.plan, after
    taken = case.take(answer)
    case.plan = after if taken else before
    return taken


def test_who_is_asked_may_delegate_and_stays_entitled() -> None:
    case = Approval(plan(stage("manager", "bob")))
    assert passes_on(case, "bob", "erin")
    again = Approval(case.plan)
    assert passes_on(again, "bob", "erin")
    assert case.says("erin")
    assert case.stage("manager").votes[0].on_behalf_of == "bob"
    assert again.says("bob")


def test_a_delegate_may_delegate_further_and_a_later_stage_may_be_delegated_too() -> None:
    case = Approval(plan(stage("manager", "bob"), stage("finance", "carol")))
    assert passes_on(case, "carol", "erin")
    assert passes_on(case, "erin", "frank", stage="finance")
    assert case.says("bob")
    assert case.says("frank")
    assert case.stage("finance").votes[0].on_behalf_of == "carol"


@pytest.mark.parametrize(
    ("by", "to", "words"),
    [
        ("mallory", "erin", "mallory is not asked, and has nothing to delegate"),
        ("bob", "BOB", "bob need not delegate to the same person"),
        ("bob", "Alice", "Alice may not decide on this request, in nobody's place"),
        ("alice", "erin", "alice is not asked, and has nothing to delegate"),
    ],
)
def test_a_delegation_that_would_break_four_eyes_is_refused(by: str, to: str, words: str) -> None:
    case = Approval(plan(stage("manager", seat("alice"), "bob")))
    assert not passes_on(case, by, to)
    assert case.why == words


def test_a_delegation_ends_when_it_says() -> None:
    case = Approval(plan(stage("manager", "bob")))
    assert passes_on(case, "bob", "erin", until=OPENED + timedelta(hours=1))
    case.now += timedelta(hours=2)
    assert not case.says("erin")


def test_an_operator_gives_a_seat_to_somebody_else() -> None:
    case = Approval(plan(stage("manager", "bob", "carol")))
    assert gives(case, "dave")
    assert not case.says("bob")
    assert case.says("dave")


def test_where_several_must_decide_it_is_said_whose_seat_it_is() -> None:
    case = Approval(plan(stage("board", "bob", "carol", quorum="all")))
    assert not gives(case, "dave")
    assert case.why == "several are asked on board: say whose seat it is: bob, carol"
    assert gives(case, "dave", holder="Carol")
    assert case.says("bob")
    assert case.says("dave")
    assert case.outcome == "approved"


def test_a_stage_without_anybody_gets_somebody() -> None:
    case = Approval(plan(stage("manager")))
    assert case.stage("manager").stranded
    assert gives(case, "dave")
    assert not case.stage("manager").stranded
    assert case.says("dave")


@pytest.mark.parametrize(("to", "actor"), [("alice", "root"), ("dave", "alice")])
def test_neither_to_the_requester_nor_by_the_requester_is_anything_reassigned(to: str, actor: str) -> None:
    case = Approval(plan(stage("manager", "bob")))
    assert not gives(case, to, actor=actor)
    assert "alice is the requester" in case.why


def test_nobody_gets_a_seat_of_a_second_stage_who_has_decided_on_the_first() -> None:
    case = Approval(plan(stage("manager", "bob"), stage("finance", "carol")))
    case.says("bob")
    assert not gives(case, "bob")
    assert "has decided on another stage" in case.why


def test_an_amendment_asks_only_the_stages_again_that_depend_on_what_changed() -> None:
    first = plan(stage("manager", "bob", fields=("cost",)), stage("it", "erin", fields=("product",)), stage("finance", "carol"))
    case = Approval(first)
    case.says("bob")
    case.says("erin")
    assert case.asked == ["finance"]
    assert becomes(case, first.model_copy(update={"request_version": 2, "request_hash": "b" * 64}), "cost")
    assert case.asked == ["manager"]
    assert [(each.key, each.status) for each in case.state.stages if each.status != "open"] == [
        ("manager", "superseded"),
        ("finance", "superseded"),
        ("it", "approved"),
    ]
    assert case.stage("manager").key == "manager/2"
    assert not case.says("bob", request_hash="a" * 64)
    assert case.says("bob")
    assert case.asked == ["finance"]
    assert case.says("carol")
    assert case.outcome == "approved"


def test_an_amendment_that_touches_nothing_leaves_votes_and_times_as_they_are() -> None:
    first = plan(stage("board", "bob", "carol", quorum="all", fields=("cost",)))
    case = Approval(first)
    case.says("bob")
    case.now += timedelta(hours=5)
    assert becomes(case, first.model_copy(update={"request_version": 2}), "note")
    assert case.stage("board").due_at == OPENED + timedelta(hours=48)
    assert case.says("carol")
    assert case.outcome == "approved"


def test_a_stage_that_the_new_plan_asks_of_others_is_asked_again_and_one_that_is_gone_is_not() -> None:
    case = Approval(plan(stage("manager", "bob", fields=("x",)), stage("finance", "carol", fields=("x",))))
    case.says("bob")
    after = plan(stage("manager", "dave", fields=("x",)), request_version=2)
    assert becomes(case, after, "cost")
    assert case.asked == ["manager"]
    assert case.says("dave")
    assert case.outcome == "approved"


def test_what_the_director_approved_instead_of_the_manager_stands_as_well() -> None:
    director = stage("director", "dave", fields=("cost",))
    first = plan(stage("manager", "bob", fields=("cost",), then="escalate", escalation=director), stage("finance", "carol"))
    case = Approval(first)
    case.passes(hours=48)
    case.says("dave")
    assert becomes(case, first.model_copy(update={"request_version": 2}), "note")
    assert case.asked == ["finance"]
    assert becomes(case, first.model_copy(update={"request_version": 3}), "cost")
    assert case.asked == ["manager"]


def test_only_the_requester_withdraws_and_an_operator_cancels() -> None:
    case = Approval(plan(stage("manager", "bob")))
    assert not case.take(withdraw(case.state, "alice", "bob", None))
    assert case.why == "only the requester (alice) may withdraw, not bob"
    assert case.take(withdraw(case.state, "alice", "ALICE", "found some"))
    assert (case.outcome, case.state.reason) == ("withdrawn", "found some")
    other = Approval(plan(stage("manager", "bob")))
    assert other.take(cancel(other.state, "root", "a mistake"))
    assert other.outcome == "cancelled"


ENDED: list[Callable[[Approval], bool]] = [
    lambda case: passes_on(case, "bob", "erin"),
    lambda case: gives(case, "dave"),
    lambda case: becomes(case, case.plan.model_copy(update={"request_version": 2}), "cost"),
    lambda case: case.take(withdraw(case.state, "alice", "alice", None)),
    lambda case: case.take(cancel(case.state, "root", "late")),
]


@pytest.mark.parametrize("change", ENDED)
def test_nothing_changes_what_has_been_decided(change: Callable[[Approval], bool]) -> None:
    case = Approval(plan(stage("manager", "bob")))
    case.says("bob")
    before = case.state
    assert not change(case)
    assert case.why == "the request has been decided already"
    assert case.state == before
