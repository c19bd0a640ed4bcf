"""`sayso policy apply --to-waiting`: which waiting cases another policy concerns, and that they are asked to be planned anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import PROJECT, World

from sayso.ledger.cases import Rules
from sayso.ledger.schema import audit, cases, events
from sayso.policy.rulebook import LivePolicies
from sayso.settings import Settings


@pytest.fixture
def waiting(world: World, place: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two orders that wait by the shipped policy, and one that passed by itself; then the policy lets less pass."""
    folder = place / "config"
    shutil.copytree(PROJECT / "config", folder)
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(folder))
    settings = Settings(config_dir=folder)
    world.rules = Rules(settings, world.rules.ledger_id, LivePolicies(settings))
    world.buy("PO-1", cost=1200)
    world.buy("PO-2", cost=5000)
    world.buy("PO-3", cost=10)
    return world


def change(place: Path, old: str, new: str) -> None:
    path = place / "config" / "policies" / "purchase_order_workflow.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_nothing_is_asked_of_cases_whose_plan_stays_the_same(sayso: Sayso, waiting: World) -> None:
    answer = sayso("policy", "apply", "--to-waiting", "--as", "olga", "--reason", "new rules", "--timeout", "0", "--json")
    assert answer.code == 0
    assert [(case["key"], case["change"], case["became"]) for case in answer.json["cases"]] == [
        ("PO-1", "same", "stays as it is"),
        ("PO-2", "same", "stays as it is"),
    ]
    assert len(waiting.rows(events)) == 3


def test_each_case_that_is_concerned_gets_one_event_of_the_operator(sayso: Sayso, waiting: World, place: Path) -> None:
    change(place, "value: 1000", "value: 2000")
    dry = sayso("policy", "apply", "--to-waiting", "--dry-run")
    assert (dry.code, "PO-1" in dry.out, "PO-2" in dry.out) == (0, True, False)
    assert len(waiting.rows(events)) == 3
    answer = sayso("policy", "apply", "--to-waiting", "--as", "olga", "--reason", "new rules", "--timeout", "0")
    assert answer.code == 5  # no stack is running that could plan it
    assert "now automatic" in answer.out
    asked = waiting.rows(events)[-1]
    (first, *_) = waiting.rows(cases)
    assert (asked.topic, asked.instance_id, asked.state) == ("operator", first.instance_id, "delivering")
    entry = waiting.rows(audit)[-1]
    assert (entry.action, entry.actor, entry.channel) == ("case-replan-asked", "olga", "operator")


@pytest.mark.parametrize("left_out", ["--to-waiting", "--as", "--reason"])
def test_it_is_said_on_purpose_by_whom_and_why(sayso: Sayso, waiting: World, left_out: str) -> None:
    said = {"--to-waiting": [], "--as": ["olga"], "--reason": ["new rules"]}
    arguments = [word for name, words in said.items() if name != left_out for word in (name, *words)]
    assert sayso("policy", "apply", *arguments).code == 2
    assert len(waiting.rows(events)) == 3
