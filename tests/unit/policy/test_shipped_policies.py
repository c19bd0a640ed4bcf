"""The shipped policies say what the seeds and the settings say, and their tables hold."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_desk import CONFIG, NOW, purchase

from sayso.contracts.approval_plan import AfterDeadline, ApprovalPlan, Wait
from sayso.contracts.requests import Priority
from sayso.errors import ConfigurationError, MalformedError
from sayso.policy import POLICIES, asks_nobody
from sayso.policy.expectations import check_expectations
from sayso.policy.loading import DECIDED
from sayso.policy.planning import plan
from sayso.policy.rulebook import Rulebook, load_rulebook
from sayso.policy.schedule import schedule
from sayso.settings import (
    ApprovalSettings,
    EscalationSettings,
    OrderSettings,
    PolicySettings,
    PurchaseSettings,
    Settings,
    TaskSettings,
)

TABLES = sorted((CONFIG / "policies" / "tests").glob("*.yaml"))
AMOUNT = {"approval_workflow": "amount", "purchase_order_workflow": "cost", "order_saga": "amount", "request_escalation": "amount"}


def rulebook(**changed: Any) -> Rulebook:
    return load_rulebook(Settings(config_dir=CONFIG, **changed))


SHIPPED = rulebook()


def planned(workflow: str, book: Rulebook = SHIPPED, **request: Any) -> ApprovalPlan:
    found = book.plan_for(workflow, {"requester": "alice", **request}, NOW)
    assert found is not None
    return found


def test_every_workflow_that_asks_has_a_policy() -> None:
    assert set(SHIPPED.policies.in_use) == set(DECIDED)
    assert set(DECIDED) == {workflow for workflow, policy in POLICIES.items() if policy.automatic is not asks_nobody}
    assert SHIPPED.plan_for("book_trip", {}, NOW) is None


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_holds(path: Path) -> None:
    assert [one for one in check_expectations(path, SHIPPED) if one.differences] == []


def test_every_policy_has_a_table() -> None:
    assert {path.stem for path in TABLES} == set(SHIPPED.policies.by_name)


@given(
    workflow=st.sampled_from(sorted(AMOUNT)),
    amount=st.decimals(0, 2000, places=10),
    threshold=st.sampled_from(["1000", "999.99", "0", "0.1"]),
)
def test_what_passes_by_itself_is_what_passed_by_itself_before_there_were_policies(
    workflow: str, amount: Decimal, threshold: str
) -> None:
    book = BOOKS[threshold]
    request = {AMOUNT[workflow]: format(amount, "f"), "requester": None}
    before = POLICIES[workflow].automatic(POLICIES[workflow].plan(SETTINGS[threshold]), request)
    assert planned(workflow, book, **request).automatic is before


def thresholds(text: str) -> dict[str, Any]:
    below = Decimal(text)
    return {
        "approval": ApprovalSettings(auto_approve_below=below),
        "purchase": PurchaseSettings(auto_approve_below=below),
        "order": OrderSettings(auto_approve_below=below),
        "escalation": EscalationSettings(auto_approve_below=below),
    }


SETTINGS = {text: Settings(config_dir=CONFIG, **thresholds(text)) for text in ("1000", "999.99", "0", "0.1")}
BOOKS = {text: load_rulebook(settings) for text, settings in SETTINGS.items()}


@pytest.mark.parametrize("priority", Priority)
def test_only_a_task_of_low_priority_passes_by_itself(priority: Priority) -> None:
    assert planned("task_approval_workflow", priority=priority.value).automatic is (priority is Priority.LOW)


def waits(workflow: str, book: Rulebook) -> list[Wait]:
    found = planned(workflow, book, **{AMOUNT.get(workflow, "priority"): "5000" if workflow in AMOUNT else "high"})
    return [one.stage.wait for one in schedule(found, NOW, book.calendars)]


def test_the_deadlines_are_those_of_the_seeds_and_of_the_plans_so_far() -> None:
    for workflow in DECIDED:
        seconds = POLICIES[workflow].plan(Settings()).approval_timeout_seconds
        assert waits(workflow, SHIPPED)[0] == Wait(seconds=seconds)
    assert waits("approval_workflow", SHIPPED) == [Wait(seconds=3 * 86_400)]
    assert waits("request_escalation", SHIPPED) == [Wait(seconds=7 * 86_400)]
    assert waits("task_approval_workflow", SHIPPED) == [Wait(seconds=48 * 3600), Wait(seconds=72 * 3600)]


def test_the_settings_say_the_deadlines_of_the_shipped_policies() -> None:
    second = timedelta(seconds=1)
    changed: dict[str, Any] = {
        "approval": ApprovalSettings(timeout=second),
        "purchase": PurchaseSettings(approval_timeout=2 * second),
        "order": OrderSettings(approval_timeout=3 * second),
        "escalation": EscalationSettings(timeout=4 * second),
        "task": TaskSettings(manager_timeout=5 * second, total_timeout=8 * second),
    }
    book = rulebook(**changed)
    found = {workflow: [wait.seconds for wait in waits(workflow, book)] for workflow in DECIDED}
    assert found == {
        "approval_workflow": [1],
        "purchase_order_workflow": [2],
        "order_saga": [3],
        "request_escalation": [4],
        "task_approval_workflow": [5, 8],
    }
    assert planned("task_approval_workflow", book, priority="high").wait_in_all == Wait(seconds=8)
    for workflow in DECIDED:
        assert waits(workflow, book)[0].seconds == POLICIES[workflow].plan(Settings(**changed)).approval_timeout_seconds


def test_every_deadline_is_scaled_by_one_setting() -> None:
    book = rulebook(policies=PolicySettings(time_scale=1 / 86_400))
    assert waits("approval_workflow", book)[0].seconds == pytest.approx(3)
    assert [wait.seconds for wait in waits("task_approval_workflow", book)] == pytest.approx([2, 3])


def test_the_variant_without_a_director_is_chosen_by_a_setting() -> None:
    book = rulebook(policies=PolicySettings(use={"task_approval_workflow": "task_48h"}))
    found = planned("task_approval_workflow", book, priority="high")
    assert (found.policy, found.wait_in_all) == ("task_48h", None)
    (stage,) = found.rounds[0]
    assert (stage.wait, stage.then, stage.escalation) == (Wait(seconds=48 * 3600), AfterDeadline.TIMEOUT, None)


def test_whoever_is_asked_today_is_asked_and_anyone_may_answer_unless_approvers_only_is_on() -> None:
    for workflow in DECIDED:
        request = {AMOUNT.get(workflow, "priority"): "5000" if workflow in AMOUNT else "high"}
        stage = planned(workflow, **request).rounds[0][0]
        assert (stage.asked, stage.anyone, stage.seats) == (("managers",), True, ())
        strict = planned(workflow, rulebook(approvers_only=True), **request).rounds[0][0]
        assert [(seat.holder, seat.member_of) for seat in strict.seats] == [("bob", "managers"), ("carol", "managers")]


# The tables.

TABLE = """\
policy: purchase_bands
now: 2026-11-25T10:00:00Z
request: {order_id: PO-1, product: chair, quantity: 2, currency: EUR, requester: alice}
cases:
  - name: wrong in every way
    request: {cost: 300}
    expect:
      rule: petty-cash
      automatic: true
      chain: [[finance]]
      stages:
        manager: {seats: [carol], quorum: all, due: 2026-11-26T10:00:00Z}
        boss: {anyone: true}
"""


def test_a_table_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(TABLE, encoding="utf-8")
    (checked,) = check_expectations(path, SHIPPED)
    assert checked.place == f"{path}:5"
    assert checked.differences == (
        "rule is manager-alone, expected petty-cash",
        "automatic is false, expected true",
        "chain is [[manager]], expected [[finance]]",
        "stage manager: seats is [bob], expected [carol]",
        "stage manager: quorum is any, expected all",
        "stage manager: due is 2026-11-27 14:00 UTC, expected 2026-11-26 10:00 UTC",
        "there is no stage boss, only [manager, manager_escalated]",
    )


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        (
            "purchase_bands",
            "purchase_band",
            ConfigurationError,
            ':1: there is no policy "purchase_band"; did you mean "purchase_bands"?',
        ),
        ("expect:", "expected:", ConfigurationError, ':7: unknown field "expected"; did you mean "expect"?'),
        ("cost: 300", "cost: lots", MalformedError, ":6: a request of purchase_order_workflow: `cost`: "),
    ],
)
def test_a_wrong_table_names_its_line(tmp_path: Path, old: str, new: str, error: type[Exception], says: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(TABLE.replace(old, new), encoding="utf-8")
    with pytest.raises(error) as caught:
        check_expectations(path, SHIPPED)
    assert f"table.yaml{says}" in str(caught.value)


def test_a_schedule_shows_each_stage_as_late_as_it_can_be() -> None:
    bands = SHIPPED.policies.named("purchase_bands")
    found = plan(bands, purchase(cost="5000"), SHIPPED.directory, NOW)
    lines = schedule(found, NOW, SHIPPED.calendars)
    assert [(one.round, one.escalates, one.stage.name) for one in lines] == [
        (1, 0, "manager"),
        (1, 1, "manager_escalated"),
        (2, 0, "finance"),
    ]
    assert [one.due_at for one in lines[:2]] == [one.opens_at for one in lines[1:]]
    assert lines[-1].due_at < NOW + timedelta(days=21)
    slow = plan(bands, purchase(cost="20000"), SHIPPED.directory, NOW)
    assert schedule(slow, NOW, SHIPPED.calendars)[-1].due_at <= NOW + timedelta(days=30)
