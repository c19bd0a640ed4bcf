"""The policies as the processes hold them: a wrong one stops the start, and people are those of now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from policy_desk import CONFIG, NOW, purchase

from sayso.contracts.approval_plan import Wait
from sayso.errors import ConfigurationError
from sayso.policy.rulebook import LivePolicies
from sayso.settings import PolicySettings, Settings
from sayso_subscribers.process import run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    return folder


def test_a_plan_is_made_with_the_directory_of_now(config: Path) -> None:
    use = {"purchase_order_workflow": "purchase_bands"}
    policies = LivePolicies(Settings(config_dir=config, policies=PolicySettings(use=use)))
    request = purchase(cost="2000", requester="erin")
    before = policies.plan("purchase_order_workflow", request, NOW)
    people = config / "directory.yaml"
    people.write_text(people.read_text(encoding="utf-8").replace("manager: carol", "manager: bob"), encoding="utf-8")
    after = policies.plan("purchase_order_workflow", request, NOW)
    assert before is not None
    assert after is not None
    assert [stages[0].asked for found in (before, after) for stages in found.rounds] == [("carol",), ("bob",)]
    assert policies.plan("book_trip", {}, NOW) is None


def test_a_wait_ends_by_the_calendars_of_the_file(config: Path) -> None:
    due = LivePolicies(Settings(config_dir=config)).due_at(NOW, Wait(working_days=1, calendar="office"))
    assert due.isoformat() == "2026-12-23T16:00:00+00:00"


def test_a_wrong_policy_stops_the_start_with_its_line_and_a_hint(config: Path, tmp_path: Path) -> None:
    path = config / "policies" / "order_saga.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("group: managers", "group: manager"), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r'order_saga.yaml:\d+: the directory has no group "manager"; did you mean "managers"'
    ):
        run(Settings(config_dir=config, ledger_url=f"sqlite:///{tmp_path}/never.db"))
    assert not (tmp_path / "never.db").exists()
