"""Four eyes: no sequence of events lets one person fill two seats, or a requester approve. Delegations and amendments included."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from plan_making import Approval, plan, seat, stage

from sayso.contracts.approval_plan import ApprovalPlan, QuorumKind, StagePlan
from sayso.contracts.approval_state import ApprovalState, Delegation, StageStatus
from sayso.contracts.payload import person_key
from sayso.gate.changes import amend, delegate, reassign
from sayso.gate.quorum import answer_of
from sayso.gate.seats import all_stages, stage_plan
from sayso.gate.stages import reminded

REQUESTER = "alice"
PEOPLE = st.sampled_from(["alice", "bob", "carol", "dave", "erin", "Bob", " ALICE", "CAROL"])
SEATS = st.builds(
    lambda holder, stand_ins: seat(holder, *stand_ins),
    st.sampled_from(["bob", "carol", "dave", "erin", "alice"]),
    st.lists(PEOPLE, max_size=2),
)
ACTIONS = st.one_of(
    st.tuples(st.just("vote"), PEOPLE, st.sampled_from(["approve", "approve", "approve", "reject", "abstain"]), st.none() | PEOPLE),
    st.tuples(st.just("delegate"), PEOPLE, PEOPLE, st.none()),
    st.tuples(st.just("reassign"), PEOPLE, PEOPLE, st.none() | PEOPLE),
    st.tuples(st.just("amend"), st.just(""), st.sampled_from(["cost", "note"]), st.none()),
    st.tuples(st.just("time"), st.just(""), st.just(""), st.sampled_from([1, 20, 60])),
)


@st.composite
def stages(draw: Any, name: str, depth: int = 1) -> StagePlan:
    held = draw(st.lists(SEATS, max_size=3, unique_by=lambda one: one.holder))
    kind = draw(st.sampled_from(QuorumKind))
    of = {QuorumKind.NUMBER: draw(st.integers(1, 3)), QuorumKind.PERCENT: draw(st.integers(1, 100))}.get(kind)
    escalation = draw(st.none() | stages(f"{name}-up", depth - 1)) if depth else None
    return stage(
        name,
        *held,
        quorum=kind,
        of=of,
        hours=draw(st.sampled_from([10, 50])),
        then=draw(st.sampled_from(["timeout", "reject", "escalate"])),
        escalation=escalation,
        forbidden=(REQUESTER, *draw(st.lists(st.just("erin"), max_size=1))),
        not_earlier_deciders=draw(st.sampled_from([True, True, True, False])),
        fields=draw(st.sampled_from([(), ("cost",)])),
        reminders=draw(st.sampled_from([(), ({"seconds": 3600},)])),
    )


@st.composite
def plans(draw: Any) -> ApprovalPlan:
    rounds = tuple(
        tuple(draw(stages(f"s{number}{place}")) for place in range(draw(st.integers(1, 2))))
        for number in range(draw(st.integers(1, 3)))
    )
    return plan(*rounds, wait_in_all=draw(st.sampled_from([None, {"seconds": 400_000}])))


def act(case: Approval, action: tuple[Any, ...]) -> None:
    kind, who, what, more = action
    if kind == "vote":
        for each in (None, *(one.name for one in case.state.open_stages)):
            case.says(who, what, stage=each, on_behalf_of=more)
    elif kind == "delegate":
        case.take(delegate(case.plan, case.state, Delegation(by=who, to=what), case.now))
    elif kind == "reassign":
        case.take(reassign(case.plan, case.state, what, case.now, actor=who, holder=more))
    elif kind == "amend":
        after = case.plan.model_copy(update={"request_version": case.plan.request_version + 1})
        answer = amend(case.plan, case.state, after, [what])
        case.plan = after if isinstance(answer, ApprovalState) else case.plan
        case.take(answer)
    else:
        case.state = reminded(case.state, case.now)
        case.passes(hours=more)


@given(plans(), st.lists(ACTIONS, max_size=25))
def test_no_sequence_of_events_breaks_four_eyes_or_a_quorum(planned: ApprovalPlan, actions: list[tuple[Any, ...]]) -> None:
    case = Approval(planned)
    for action in actions:
        act(case, action)
        check(case)


def check(case: Approval) -> None:
    for one in case.state.stages:
        here = stage_plan(case.plan, one)
        deciders = [person_key(vote.person) for vote in one.votes]
        seats = [person_key(vote.seat) for vote in one.votes]
        assert len(set(deciders)) == len(deciders), "one person fills two seats"
        assert len(set(seats)) == len(seats), "one seat is filled twice"
        assert not {person_key(name) for name in here.forbidden} & {*deciders, *seats}, "who may not decide has decided"
        if one.status is StageStatus.APPROVED and one.votes and "time" not in (one.why or ""):
            assert answer_of(here.quorum, len(here.seats), [vote.answer for vote in one.votes]) == "approve"
    counting = [one for one in case.state.stages if one.status is not StageStatus.SUPERSEDED]
    for first, second in combinations(counting, 2):
        both_strict = all(stage_plan(case.plan, one).not_earlier_deciders for one in (first, second))
        if both_strict:
            people = [{person_key(vote.person) for vote in one.votes} for one in (first, second)]
            assert not people[0] & people[1], "one person fills seats of two stages"
    names = {each.name for each in all_stages(case.plan)}
    assert {one.name for one in case.state.stages} <= names
    assert len({one.key for one in case.state.stages}) == len(case.state.stages)
    if case.state.outcome == "approved":
        standing = {(one.round, one.place): one.status for one in counting}
        places = {(number, place) for number, each in enumerate(case.plan.rounds) for place in range(len(each))}
        assert {place for place, status in standing.items() if status is StageStatus.APPROVED} == places
