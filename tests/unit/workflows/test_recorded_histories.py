"""Every recorded history is replayed against today's code: a change that would break cases in flight fails, and names the step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import CaseInput
from sayso.testing.histories.replay import ChangedError, read_history, replay
from sayso.testing.histories.scenarios import SCENARIOS
from sayso_worker.registry import WORKFLOWS, versions_of
from sayso_worker.workflows import approval, purchase_order
from sayso_worker.workflows.journal import Journal
from sayso_worker.workflows.patterns import await_payment

HISTORIES = Path(__file__).parents[2] / "histories"
FILES = sorted(HISTORIES.glob("*.json"))


def recorded(title: str) -> Any:
    document = json.loads((HISTORIES / f"{title}.json").read_text("utf-8"))
    return read_history(document)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cases_in_flight_go_on_with_todays_code(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    assert replay(path.stem, versions_of(document["workflow"]), read_history(document)) >= 1


def test_every_scenario_is_recorded_and_every_record_is_a_scenario() -> None:
    """`python -m sayso.testing.histories --missing` records what lacks."""
    assert [path.stem for path in FILES] == sorted(scenario.title for scenario in SCENARIOS)


def test_every_workflow_has_a_scenario_for_each_of_its_outcomes() -> None:
    """Its docstring lists them, between backquotes."""
    for name, workflow in WORKFLOWS.items():
        words = str(workflow.__doc__).partition("Outcomes:")[2].partition("\n\n")[0]
        listed = {outcome.value for outcome in Outcome if f"`{outcome.value}`" in words}
        assert listed <= {scenario.outcome for scenario in SCENARIOS if scenario.workflow == name}, name


def test_an_activity_that_is_called_before_another_one_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is placed when the payment has come, not before: an order that was placed already would be placed again."""

    def pay_then_place(journal: Journal, mailbox: Any, order: Any, _decision: Any) -> Any:
        yield from await_payment(journal, mailbox, order.cost, order.currency, 60)
        return (yield from journal.step("place_order"))

    monkeypatch.setattr(purchase_order, "_place_and_collect", pay_then_place)
    with pytest.raises(ChangedError, match=r"turn 2, step 3: recorded was `activity place_order #0`, today it is `wait for "):
        replay("completed", versions_of("purchase_order_workflow"), recorded("purchase_order_workflow.completed"))


def test_two_activities_that_change_places_are_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = approval._approved

    def close_first(journal: Journal, request: Any, decision: Any) -> Any:
        yield from journal.record_refusals()
        return (yield from original(journal, request, decision))

    monkeypatch.setattr(approval, "_approved", close_first)
    expected = r"step 2: recorded was `activity execute_approved_action #0`, today it is `activity record_refusal #0`"
    with pytest.raises(ChangedError, match=expected):
        replay("approved", versions_of("approval_workflow"), recorded("approval_workflow.approved"))


def test_another_idempotency_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = approval._approved

    def counted_differently(journal: Journal, request: Any, decision: Any) -> Any:
        journal._iterations["execute_approved_action"] = 1
        return (yield from original(journal, request, decision))

    monkeypatch.setattr(approval, "_approved", counted_differently)
    with pytest.raises(
        ChangedError, match="recorded was `activity execute_approved_action #0`, today it is `activity execute_approved_"
    ):
        replay("approved", versions_of("approval_workflow"), recorded("approval_workflow.approved"))


def test_a_case_that_began_with_a_former_version_is_replayed_with_it() -> None:
    """What came later may be anything."""

    def nothing_alike(ctx: Any, _raw: Any) -> Any:
        yield ctx.call_activity("something_new")

    versions = {**versions_of("approval_workflow"), "99": nothing_alike}
    assert replay("former", versions, recorded("approval_workflow.approved")) > 1


def test_a_version_that_nobody_has_any_more_is_found() -> None:
    with pytest.raises(ChangedError, match="the version that it began with is not registered any more"):
        replay("gone", {"2": WORKFLOWS["approval_workflow"]}, recorded("approval_workflow.approved"))


def test_a_change_behind_is_patched_lets_old_cases_go_the_old_way() -> None:
    workflow = WORKFLOWS["approval_workflow"]

    def noted_first(ctx: Any, raw: dict[str, Any]) -> Any:
        if ctx.is_patched("note-first"):
            yield from Journal(ctx, CaseInput.model_validate(raw)).record_refusals()
        return (yield from workflow(ctx, raw))

    assert replay("patched", {"1": noted_first}, recorded("approval_workflow.approved")) > 1
