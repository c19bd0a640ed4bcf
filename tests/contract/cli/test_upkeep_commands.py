"""`sayso ledger upgrade`, `sayso config check`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import PROJECT


def test_an_upgrade_creates_the_ledger_and_is_safe_to_repeat(sayso: Sayso, place: Path) -> None:
    first, second = sayso("ledger", "upgrade", "--json"), sayso("ledger", "upgrade", "--json")
    assert (first.code, second.code) == (0, 0)
    assert first.json == second.json
    assert (place / "none.db").exists()
    assert sayso("cases", "--json").json == []


def test_the_shipped_configuration_is_valid(sayso: Sayso) -> None:
    answer = sayso("config", "check", "--json")
    assert answer.code == 0
    assert "purchases" in answer.json["topics"]
    assert sayso("config", "check").code == 0


def test_a_wrong_line_is_named(sayso: Sayso, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place / "config"
    shutil.copytree(PROJECT / "config", folder)
    bindings = folder / "bindings.yaml"
    bindings.write_text(bindings.read_text().replace("start: purchase_order_workflow", "start: purchase_order_workflw"))
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(folder))
    answer = sayso("config", "check")
    assert answer.code == 2
    assert "bindings.yaml:" in answer.err
    assert 'did you mean "purchase_order_workflow"?' in answer.err
