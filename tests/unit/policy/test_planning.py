"""`plan`: who has to decide on a request, in which order, until when. One test for every kind of rule, and properties over all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_desk import HEAD, NOW, Desk, purchase

from sayso.contracts.approval_plan import AfterDeadline, ApprovalPlan, CommentRule, Quorum, QuorumKind, Seat, StagePlan, Wait
from sayso.contracts.payload import person_key
from sayso.contracts.signed import request_hash
from sayso.directory import Directory
from sayso.errors import MalformedError
from sayso.policy.conditions import Condition
from sayso.policy.loading import load_policy
from sayso.policy.planning import plan
from sayso.settings import Settings


def holders(stage: StagePlan) -> tuple[str, ...]:
    return tuple(seat.holder for seat in stage.seats)


# Which rule.

BANDS = """\
rules:
  - {name: small, when: request.cost < 1000, approve: automatically}
  - {name: middle, when: request.cost < 5000, stages: [{name: one, approvers: {role: director}, deadline: PT1H}]}
  - {name: staff, when: '"staff" in requester.groups', stages: [{name: two, approvers: {user: bob}, deadline: PT1H}]}
  - {name: rest, stages: [{name: three, approvers: {group: managers}, deadline: PT1H}]}
"""


@pytest.mark.parametrize(
    ("cost", "requester", "rule"),
    [
        ("999.99", "alice", "small"),
        ("999.9999999999", "alice", "small"),
        ("1000", "alice", "middle"),
        ("5000.00", " ALICE ", "staff"),
        ("5000.00", "bob", "rest"),
        ("5000.00", None, "rest"),
    ],
)
def test_the_first_rule_whose_condition_holds_gives_the_plan(desk: Desk, cost: str, requester: str | None, rule: str) -> None:
    found = desk.plan(BANDS, {"cost": cost, "requester": requester})
    assert found.rule == rule
    assert found.automatic is (rule == "small")
    assert bool(found.rounds) is not found.automatic


def test_a_plan_says_by_which_policy_and_about_which_request(desk: Desk) -> None:
    found = desk.plan(BANDS)
    assert (found.policy, found.version, found.policy_hash) == ("purchases", "3", desk.policy(BANDS).digest)
    assert found.request_hash == request_hash(purchase())
    assert desk.plan(BANDS, {"cost": "1250.01"}).request_hash != found.request_hash
    assert desk.plan(BANDS + "# changed\n").policy_hash != found.policy_hash


def test_a_condition_without_a_value_is_malformed_and_no_other_rule_is_taken(desk: Desk) -> None:
    text = "rules: [{name: odd, when: int(request.product) > 3, approve: automatically}, {name: rest, approve: automatically}]"
    with pytest.raises(MalformedError, match=r'purchases.yaml:4: rule "odd": `int\(request.product\) > 3`'):
        desk.plan(text)
    assert desk.plan(text, {"product": "3"}).rule == "rest"


# Who.


def test_a_user_has_a_seat(desk: Desk) -> None:
    stage = desk.stage("approvers: {user: bob}")
    assert (stage.asked, stage.seats) == (("bob",), (Seat(holder="bob"),))


def test_every_member_of_a_group_has_a_seat_as_its_member(desk: Desk) -> None:
    stage = desk.stage("approvers: {group: managers}")
    assert stage.asked[0] == "managers"
    assert [(seat.holder, seat.member_of) for seat in stage.seats] == [(user, "managers") for user in ("bob", "carol", "dave")]


def test_everybody_with_a_role_has_one_seat_also_through_its_groups(desk: Desk) -> None:
    stage = desk.stage("approvers: {role: board}")
    assert [(seat.holder, seat.member_of) for seat in stage.seats] == [(user, "board") for user in ("carol", "bob", "dave")]


@pytest.mark.parametrize(("levels", "holder"), [("", ("bob",)), (", levels_up: 1", ("bob",)), (", levels_up: 2", ("carol",))])
def test_the_manager_of_the_requester_is_so_many_levels_up(desk: Desk, levels: str, holder: tuple[str, ...]) -> None:
    stage = desk.stage(f"approvers: {{manager_of: requester{levels}}}")
    assert (holders(stage), stage.asked) == (holder, holder)


@pytest.mark.parametrize("requester", ["carol", "nobody", None])
def test_without_a_manager_there_is_a_stage_without_seats(desk: Desk, requester: str | None) -> None:
    stage = desk.stage("approvers: {manager_of: requester}", {"requester": requester})
    assert (stage.seats, stage.asked, stage.anyone) == ((), (), False)


def test_too_few_levels_make_no_seat_and_nobody_is_asked_twice_instead(desk: Desk) -> None:
    assert desk.stage("approvers: {manager_of: requester, levels_up: 3}").seats == ()


def test_several_approvers_have_one_seat_each_however_often_they_are_named(desk: Desk) -> None:
    stage = desk.stage("approvers: [{manager_of: requester}, {group: managers}, {user: bob}, {role: director}]")
    assert holders(stage) == ("bob", "carol", "dave")
    assert stage.seats[0].member_of is None


def test_anyone_may_decide_while_a_group_is_asked_unless_approvers_only_is_on(desk: Desk) -> None:
    stage = desk.stage("approvers: [{group: managers}, {anyone: true}]")
    assert (stage.anyone, stage.asked, stage.seats, stage.quorum) == (True, ("managers",), (), Quorum())
    strict = desk.stage("approvers: [{group: managers}, {anyone: true}]", approvers_only=True)
    assert (strict.anyone, holders(strict)) == (False, ("bob", "carol", "dave"))


# Who not.


@pytest.mark.parametrize("requester", ["bob", " BOB", "b\u00adob"])
def test_the_requester_never_has_a_seat_however_spelt(desk: Desk, requester: str) -> None:
    stage = desk.stage("approvers: [{group: managers}, {user: bob}]", {"requester": requester})
    assert holders(stage) == ("carol", "dave")
    assert stage.forbidden == ("bob",)


def test_a_requester_whom_nobody_knows_is_forbidden_too(desk: Desk) -> None:
    assert desk.stage("approvers: {group: managers}", {"requester": "zoe"}).forbidden == ("zoe",)
    assert desk.stage("approvers: {group: managers}", {"requester": None}).forbidden == ()


def test_forbidden_people_have_no_seats(desk: Desk) -> None:
    stage = desk.stage("approvers: {group: managers}, forbidden: [{role: director}, {user: dave}, {manager_of: requester}]")
    assert stage.forbidden == ("alice", "carol", "dave", "bob")
    assert stage.seats == ()


def test_earlier_deciders_are_forbidden_unless_allowed(desk: Desk) -> None:
    assert desk.stage("approvers: {user: bob}").not_earlier_deciders
    assert not desk.stage("approvers: {user: bob}, earlier_deciders: allowed").not_earlier_deciders


# Out of office.


def test_stand_ins_are_those_of_today_and_are_asked_too(desk: Desk) -> None:
    stage = desk.stage("approvers: {user: dave}")
    assert stage.seats == (Seat(holder="dave", stand_ins=("erin", "frank")),)
    assert stage.asked == ("dave", "erin", "frank")
    text = "rules: [{name: all, stages: [{name: one, approvers: {user: dave}, deadline: PT1H}]}]"
    later = plan(desk.policy(text), purchase(), desk.directory(), datetime(2027, 1, 1, tzinfo=UTC))
    assert later.rounds[0][0].seats == (Seat(holder="dave"),)


@pytest.mark.parametrize(("requester", "stand_ins"), [("frank", ("erin",)), ("erin", ())])
def test_nobody_stands_in_past_one_who_is_forbidden(desk: Desk, requester: str, stand_ins: tuple[str, ...]) -> None:
    assert desk.stage("approvers: {user: dave}", {"requester": requester}).seats == (Seat(holder="dave", stand_ins=stand_ins),)


# How many.


@pytest.mark.parametrize(
    ("written", "quorum"),
    [
        ("any", Quorum()),
        ("all", Quorum(kind=QuorumKind.ALL)),
        ("veto", Quorum(kind=QuorumKind.VETO)),
        ("all-responded", Quorum(kind=QuorumKind.ALL_RESPONDED)),
        ("{number: 2}", Quorum(kind=QuorumKind.NUMBER, of=2)),
        ("{percent: 60}", Quorum(kind=QuorumKind.PERCENT, of=60)),
    ],
)
def test_a_quorum_is_any_all_a_number_a_percentage_veto_or_all_responded(desk: Desk, written: str, quorum: Quorum) -> None:
    stage = desk.stage(f"approvers: {{group: managers}}, quorum: {written}")
    assert (stage.quorum, len(stage.seats)) == (quorum, 3)


def test_a_number_that_too_few_could_reach_leaves_no_seats_and_waits_for_nothing(desk: Desk) -> None:
    two_of_three = "approvers: {group: managers}, quorum: {number: 3}"
    assert len(desk.stage(two_of_three).seats) == 3
    assert desk.stage(two_of_three, {"requester": "bob"}).seats == ()


# Until when, and what then.


@pytest.mark.parametrize("then", ["timeout", "approve", "reject"])
def test_a_deadline_times_out_approves_or_rejects(desk: Desk, then: str) -> None:
    stage = desk.stage(f"approvers: {{user: bob}}, then: {then}")
    assert (stage.wait, stage.then, stage.escalation) == (Wait(seconds=3600), AfterDeadline(then), None)


def test_a_deadline_escalates_to_others_with_a_deadline_of_their_own(desk: Desk) -> None:
    further = "escalate: {approvers: {user: dave}, deadline: P2D, then: approve, comment: always}"
    text = f"escalate: {{approvers: {{role: director}}, deadline: 1 working day, quorum: all, reminders: [PT1H], {further}}}"
    stage = desk.stage(f"approvers: {{user: bob}}, forbidden: {{user: erin}}, fields: [cost], {text}")
    assert stage.then is AfterDeadline.ESCALATE
    director = stage.escalation
    assert director is not None
    assert (director.name, holders(director), director.quorum.kind) == ("first_escalated", ("carol",), QuorumKind.ALL)
    assert (director.wait, director.reminders) == (Wait(working_days=1, calendar="office"), (Wait(seconds=3600),))
    assert director.forbidden == stage.forbidden == ("alice", "erin")
    last = director.escalation
    assert last is not None
    assert (last.name, last.then, last.comment, last.fields) == (
        "first_escalated_escalated",
        AfterDeadline.APPROVE,
        "always",
        ("cost",),
    )
    assert last.seats == (Seat(holder="dave"),)  # erin, who is forbidden, does not stand in


def test_reminders_comments_and_fields_are_in_the_plan(desk: Desk) -> None:
    stage = desk.stage("approvers: {user: bob}, reminders: [PT10M, PT20M], comment: on-reject, fields: [cost, category]")
    assert stage.reminders == (Wait(seconds=600), Wait(seconds=1200))
    assert (stage.comment, stage.fields) == (CommentRule.ON_REJECT, ("cost", "category"))


def test_rounds_follow_each_other_and_parallel_stages_share_one(desk: Desk) -> None:
    text = """\
rules:
  - name: all
    deadline_in_all: P9D
    stages:
      - {name: a, approvers: {user: bob}, deadline: PT1H}
      - parallel:
          - {name: b, approvers: {user: carol}, deadline: PT1H}
          - {name: c, approvers: {user: dave}, deadline: PT1H}
      - {name: d, approvers: {user: erin}, deadline: PT1H}
"""
    found = desk.plan(text)
    assert [[stage.name for stage in stages] for stages in found.rounds] == [["a"], ["b", "c"], ["d"]]
    assert found.wait_in_all == Wait(seconds=9 * 86_400)


# Properties.

USERS = [f"u{number}" for number in range(6)]


@st.composite
def directories(draw: st.DrawFn) -> Directory:
    """Six users with managers above them, absences and two groups; nobody is his own manager."""
    users: dict[str, Any] = {}
    for number, user in enumerate(USERS):
        users[user] = {"name": user}
        if number and draw(st.booleans()):
            users[user]["manager"] = draw(st.sampled_from(USERS[:number]))
        if draw(st.booleans()) and user != USERS[-1]:
            stand_in = draw(st.sampled_from(USERS[number + 1 :]))
            users[user]["out_of_office"] = [{"from": "2026-12-01", "to": "2026-12-31", "stand_in": stand_in}]
    members = st.lists(st.sampled_from(USERS), min_size=1, max_size=6, unique=True)
    groups = {name: {"name": name, "members": draw(members)} for name in ("g", "h")}
    return Directory.model_validate(
        {"default": {"notify": ["sayso-file://"]}, "users": users, "groups": groups, "roles": {"r": ["g", "u0"]}}
    )


APPROVERS = "[{group: g}, {role: r}, {user: u1}, {manager_of: requester}, {manager_of: requester, levels_up: 2}]"


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A policy that asks in every way."""
    path = tmp_path_factory.mktemp("policies") / "everybody.yaml"
    stage = f"approvers: {APPROVERS}, forbidden: {{group: h}}, deadline: PT1H"
    escalation = f"escalate: {{approvers: {APPROVERS}, deadline: PT1H}}"
    stages = f"[{{name: a, {stage}, {escalation}}}, {{parallel: [{{name: b, {stage}}}, {{name: c, {stage}}}]}}]"
    path.write_text(HEAD + f"rules: [{{name: all, stages: {stages}}}]", encoding="utf-8")
    users = {user: {"name": user} for user in USERS}
    groups = {name: {"name": name, "members": USERS} for name in ("g", "h")}
    directory = {"default": {"notify": ["sayso-file://"]}, "users": users, "groups": groups, "roles": {"r": ["g"]}}
    return load_policy(path, Settings(), Directory.model_validate(directory), {})


def all_stages(found: ApprovalPlan) -> list[StagePlan]:
    stages = [stage for stages in found.rounds for stage in stages]
    return stages + [stage.escalation for stage in stages if stage.escalation is not None]


@given(directory=directories(), requester=st.sampled_from([*USERS, "U2 ", "nobody", None]))
def test_no_plan_lets_a_requester_or_a_forbidden_person_near_a_seat(
    everybody: Any, directory: Directory, requester: str | None
) -> None:
    found = plan(everybody, purchase(requester=requester), directory, NOW)
    for stage in all_stages(found):
        near = {person_key(person) for seat in stage.seats for person in (seat.holder, *seat.stand_ins)}
        assert not near & {person_key(person) for person in stage.forbidden}
        assert requester is None or person_key(requester) not in near
        assert len({person_key(seat.holder) for seat in stage.seats}) == len(stage.seats)
        assert all(seat.holder not in seat.stand_ins for seat in stage.seats)


@given(directory=directories(), requester=st.sampled_from([*USERS, None]), later=st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_the_same_question_has_the_same_answer(everybody: Any, directory: Directory, requester: str | None, later: timedelta) -> None:
    request = purchase(requester=requester)
    before = plan(everybody, request, directory, NOW)
    assert plan(everybody, dict(reversed(request.items())), directory, NOW + later) == before
    assert ApprovalPlan.model_validate_json(before.model_dump_json()) == before


# Many rules.


def test_two_hundred_rules_are_each_asked_at_most_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    really = Condition.holds
    rules = [
        f"  - {{name: r{n}, when: request.cost < {n + 1} && request.currency == 'EUR', approve: automatically}}" for n in range(199)
    ]
    policy = desk.policy("\n".join(["rules:", *rules, "  - {name: rest, approve: automatically}"]))
    monkeypatch.setattr(Condition, "holds", lambda self, view: asked.append(self.text) or really(self, view))
    directory = desk.directory()
    assert plan(policy, purchase(cost="150"), directory, NOW).rule == "r150"
    assert len(asked) == len(set(asked)) == 151
    assert plan(policy, purchase(cost="1000"), directory, NOW).rule == "rest"
    assert len(asked) == 151 + 199
