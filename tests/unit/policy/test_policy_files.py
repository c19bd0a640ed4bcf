"""`config/policies/*.yaml`: what a file may say, and how every mistake in it is named with file, line and a hint."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from policy_desk import CONFIG, HEAD, Desk

from sayso.contracts.approval_plan import AfterDeadline, Quorum, QuorumKind, Wait
from sayso.directory import load_directory
from sayso.errors import ConfigurationError
from sayso.policy.calendars import load_calendars
from sayso.policy.loading import load_policies, load_policy
from sayso.policy.rules import Policies
from sayso.settings import PolicySettings, PurchaseSettings, Settings

RULES = """\
calendar: office
numbers:
  limit: 1000
  below: {value: 999.99, setting: purchase.auto_approve_below}
  patience: {value: P3D, setting: purchase.approval_timeout}
rules:
  - name: small
    when: request.cost < numbers.below
    approve: automatically
  - name: large
    when: request.cost >= 10000
    deadline_in_all: P14D
    stages:
      - name: manager
        approvers: {manager_of: requester}
        deadline: 2 working days
        reminders: [4 working hours, PT30H]
        escalate:
          approvers: {role: director}
          deadline: PT24H
          then: reject
      - parallel:
          - name: board
            approvers: [{role: board}, {user: frank}]
            quorum: {number: 2}
            deadline: 8 working hours of office
            comment: on-reject
            fields: [cost]
          - name: staff
            approvers: {group: staff}
            quorum: veto
            forbidden: {user: frank}
            earlier_deciders: allowed
            deadline: numbers.patience
  - name: otherwise
    stages:
      - name: approval
        approvers: [{group: managers}, {anyone: true}]
        deadline: numbers.patience
"""
LINES = HEAD.count("\n")


def test_a_file_may_say_all_of_it(desk: Desk) -> None:
    policy = desk.policy(RULES)
    assert (policy.name, policy.version, policy.workflow) == ("purchases", "3", "purchase_order_workflow")
    small, large, otherwise = policy.rules
    assert small.automatic
    assert large.wait_in_all == Wait(seconds=14 * 86_400)
    (manager,), (board, staff) = large.rounds
    assert manager.wait == Wait(working_days=2, calendar="office")
    assert manager.reminders == (Wait(working_hours=4, calendar="office"), Wait(seconds=108_000))
    assert manager.then is AfterDeadline.ESCALATE
    assert manager.escalation is not None
    assert (manager.escalation.name, manager.escalation.then) == ("manager_escalated", AfterDeadline.REJECT)
    assert board.quorum == Quorum(kind=QuorumKind.NUMBER, of=2)
    assert (staff.quorum.kind, staff.then, staff.not_earlier_deciders) == (QuorumKind.VETO, AfterDeadline.APPROVE, False)
    assert otherwise.when is None
    assert otherwise.rounds[0][0].anyone


WRONG: list[tuple[str, str, str]] = [
    ("numbers.below\n", "numbers.belwo\n", ':8: `request.cost < numbers.belwo`: `numbers` has no "belwo"; did you mean "below"?'),
    ("request.cost <", "request.csot <", ':8: `request.csot < numbers.below`: `request` has no "csot"; did you mean "cost"?'),
    (
        "request.cost >= 10000",
        "request.cost >= '10000'",
        ":11: `request.cost >= '10000'`: `>=` does not go with a number with a point and text",
    ),
    ("request.cost >= 10000", 'request.category == "it"', ':11: `request.category == "it"`: `request.category` may be missing'),
    ("request.cost >= 10000", "request.cost >= ", ":11: `request.cost >=`: "),
    ("deadline_in_all", "deadline_in_al", ':12: unknown field "deadline_in_al"; did you mean "deadline_in_all"?'),
    ("deadline_in_all: P14D", "deadline_in_all: 14", ":12: "),
    ("deadline_in_all: P14D", "deadline_in_all: soon", ':12: "soon" is not understood; write for example `PT24H`'),
    ("{manager_of: requester}", "{manager_of: alice}", ":15: "),
    (
        "{manager_of: requester}",
        "{manager_of: requester, role: board}",
        ":15: name exactly one of user, group, role, manager_of, anyone",
    ),
    ("{manager_of: requester}", "{role: board, levels_up: 2}", ":15: `levels_up` goes with `manager_of: requester` only"),
    ("{manager_of: requester}", "{anyone: true}", ":15: anyone may decide, but somebody is asked"),
    ("2 working days", "2.5 working days", ':16: "2.5 working days": write whole working days'),
    ("2 working days", "2 working days of ofice", ':16: there is no calendar "ofice" in calendars.yaml; did you mean "office"?'),
    ("4 working hours", "numbers.limit", ":17: numbers.limit is the number 1000, not a wait"),
    ("4 working hours", "numbers.patence", ':17: there is no number "patence"; did you mean "patience"?'),
    ("{role: director}", "{role: directr}", ':19: the directory has no role "directr"; did you mean "director"?'),
    ("then: reject", "then: escalate", ":21: say to whom: `escalate:` with approvers and deadline"),
    ("[{role: board}, {user: frank}]", "{user: franc}", ':24: the directory has no user "franc"; did you mean "frank"?'),
    ("{number: 2}", "{number: 5}", ":25: 5 approvals are asked of 4 people"),
    ("{number: 2}", "number", ":25: write any, all, veto, all-responded, `{number: 2}` or `{percent: 60}`"),
    ("{number: 2}", "most", ":25: "),
    ("comment: on-reject", "comment: sometimes", ":27: "),
    ("fields: [cost]", "fields: [csot]", ':28: the request has no "csot"; did you mean "cost"?'),
    ("- name: staff", "- name: manager", ':22: the name "manager" is taken by another stage of this rule'),
    ("- name: staff", "- name: manager_escalated", ':22: the name "manager_escalated" is taken by another stage'),
    ("{group: staff}", "{group: staf}", ':30: the directory has no group "staf"; did you mean "staff"?'),
    ("quorum: veto", "quorum: veto\n            then: reject", ":32: `veto` approves when the time is over; leave `then` out"),
    ("{user: frank}\n            earlier", "{anyone: true}\n            earlier", ":32: anyone may not be forbidden"),
    (
        "{group: managers}, {anyone: true}]",
        "{group: managers}, {anyone: true}]\n        quorum: all",
        ":39: where anyone may decide the first answer does",
    ),
    ("- name: otherwise", "- name: small", ':35: the name "small" is taken by the rule at line'),
    ("- name: otherwise", "- name: otherwise\n    when: 'true'", ":36: the last rule has no `when`"),
    ("    when: request.cost >= 10000\n", "", ':10: rule "large" has no `when`, so the rules behind it are never asked'),
    ("    approve: automatically\n", "", ':7: rule "small": write either `approve: automatically` or `stages:`'),
    (
        "approve: automatically",
        "approve: automatically\n    deadline_in_all: P1D",
        ":10: nobody is asked, so nothing waits; remove it",
    ),
    (
        "purchase.approval_timeout",
        "purchase.approval_timout",
        ':5: no setting "purchase.approval_timout"; did you mean "purchase.approval_timeout"?',
    ),
    ("purchase.approval_timeout", "purchase.auto_approve_below", ":5: the setting purchase.auto_approve_below is not a duration"),
    ("value: 999.99", "value: 1234567890.123456", ":4: 1234567890.123456 has more than 15 digits"),
    ("true}]\n        deadline: numbers.patience\n", "true}]\n", ":37: `deadline` is missing: no stage waits without an end"),
    ("- name: approval\n        approvers", "- approvers", ":37: `name` is missing"),
    ("- parallel:", "- name: both\n        parallel:", ":22: `parallel` stands alone"),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG)
def test_a_mistake_names_its_line_and_a_hint(desk: Desk, old: str, new: str, says: str) -> None:
    assert RULES.count(old) >= 1
    with pytest.raises(ConfigurationError) as caught:
        desk.policy(RULES.replace(old, new, 1))
    line, _, message = says.removeprefix(":").partition(":")
    assert f"purchases.yaml:{int(line) + LINES}:{message}" in str(caught.value)


def test_a_workflow_without_decisions_has_no_policy(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match=r'purchases.yaml:3: no decisions are awaited by "book_trip"'):
        desk.policy(RULES, head=HEAD.replace("purchase_order_workflow", "book_trip"))


def test_a_stage_escalates_at_most_five_times(desk: Desk) -> None:
    stage = "escalate: {approvers: {role: director}, deadline: PT1H, XX}, approvers: {role: board}"
    for number in range(5):
        further = f"escalate: {{name: n{number}, approvers: {{role: director}}, deadline: PT1H, XX}}"
        stage = stage.replace("XX", further)
    with pytest.raises(ConfigurationError, match="at most 5 times"):
        desk.stage(stage.replace(", XX", ""))


def test_working_time_needs_a_calendar_that_is_clear(desk: Desk) -> None:
    assert desk.policy(RULES.replace("calendar: office\n", "")).rules  # there is only one
    desk.path.write_text(HEAD + RULES.replace("calendar: office\n", ""), encoding="utf-8")
    calendars = load_calendars(CONFIG / "calendars.yaml")
    two = {"office": calendars["office"], "shop": calendars["office"]}
    with pytest.raises(ConfigurationError, match=r"of which calendar\? write `2 working days of NAME`"):
        load_policy(desk.path, Settings(), desk.directory(), two)


# Settings.


def test_a_setting_overrides_a_number_that_names_it_where_it_is_not_its_default(desk: Desk) -> None:
    as_written = desk.policy(RULES)
    assert as_written.numbers["below"] == 999.99
    assert as_written.rules[2].rounds[0][0].wait == Wait(seconds=3 * 86_400)
    purchase = PurchaseSettings(auto_approve_below=50, approval_timeout=timedelta(seconds=5))
    changed = desk.policy(RULES, purchase=purchase)
    assert changed.numbers == {"limit": 1000.0, "below": 50.0}
    assert changed.rules[2].rounds[0][0].wait == Wait(seconds=5)


def test_the_time_scale_stretches_every_wait_and_makes_working_time_plain(desk: Desk) -> None:
    policy = desk.policy(RULES, policies=PolicySettings(time_scale=0.001))
    assert policy.rules[1].wait_in_all == Wait(seconds=14 * 86.4)
    manager, board = policy.rules[1].rounds[0][0], policy.rules[1].rounds[1][0]
    assert manager.wait == Wait(seconds=2 * 86.4)
    assert manager.reminders == (Wait(seconds=4 * 3.6), Wait(seconds=108))
    assert manager.escalation is not None
    assert manager.escalation.wait == Wait(seconds=86.4)
    assert board.wait == Wait(seconds=8 * 3.6)


def test_with_approvers_only_anyone_is_nobody(desk: Desk) -> None:
    assert not desk.policy(RULES, approvers_only=True).rules[2].rounds[0][0].anyone


# The folder.


def folder(tmp_path: Path, *texts: str, **settings: Any) -> Policies:
    policies = tmp_path / "policies"
    policies.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (policies / f"{number}.yaml").write_text(text, encoding="utf-8")
    directory = load_directory(CONFIG / "directory.yaml")
    return load_policies(policies, Settings(**settings), directory, load_calendars(CONFIG / "calendars.yaml"))


LAST = "rules: [{name: all, stages: [{name: only, approvers: {group: managers}, deadline: PT1H}]}]\n"
OTHER = HEAD.replace("name: purchases", "name: other")


def test_no_folder_is_no_policy(tmp_path: Path) -> None:
    nothing = load_policies(tmp_path / "none", Settings(), load_directory(CONFIG / "directory.yaml"), {})
    assert (nothing.by_name, nothing.in_use) == ({}, {})


def test_a_variant_counts_only_where_a_setting_names_it(tmp_path: Path) -> None:
    texts = (HEAD + LAST, OTHER + "variant: true\n" + LAST)
    assert folder(tmp_path, *texts).in_use["purchase_order_workflow"].name == "purchases"
    chosen = folder(tmp_path, *texts, policies=PolicySettings(use={"purchase_order_workflow": "other"}))
    assert chosen.in_use["purchase_order_workflow"].name == "other"
    assert chosen.named("purchases").version == "3"
    with pytest.raises(ConfigurationError, match='no policy "purchase"; did you mean "purchases"'):
        chosen.named("purchase")


@pytest.mark.parametrize(
    ("texts", "use", "says"),
    [
        ((HEAD + LAST, OTHER + LAST), {}, "0.yaml is for purchase_order_workflow too; mark one of them `variant: true`, or choose"),
        ((HEAD + LAST, HEAD + LAST), {}, 'the name "purchases" is taken by'),
        ((HEAD + LAST,), {"purchase_order_workflow": "othr"}, 'policies.use: no policy "othr" for purchase_order_workflow'),
        ((HEAD + LAST,), {"purchase_order": "purchases"}, 'by "purchase_order"; did you mean "purchase_order_workflow"?'),
    ],
)
def test_which_policy_counts_is_never_a_guess(tmp_path: Path, texts: tuple[str, ...], use: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        folder(tmp_path, *texts, policies=PolicySettings(use=use))
    assert says in str(caught.value)


def test_a_file_that_would_not_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mine.yml").write_text(HEAD + LAST, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"mine.yml: it is not read; call it mine.yaml"):
        folder(tmp_path)
