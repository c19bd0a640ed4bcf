"""`sayso ledger upgrade`, `sayso config check`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import PROJECT, World

from sayso.ledger.schema import audit, cases, notices, outbox


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


def test_a_backup_that_cannot_be_written_says_where(sayso: Sayso, world: World, place: Path) -> None:
    answer = sayso("backup", str(place / "nowhere" / "ledger.db"))
    assert answer.code == 2
    assert "cannot be written there (No such file or directory)" in answer.err


def test_a_restore_of_no_file_makes_no_ledger(sayso: Sayso, place: Path) -> None:
    answer = sayso("restore", str(place / "no-backup.db"))
    assert (answer.code, "there is no file" in answer.err) == (2, True)
    assert not (place / "none.db").exists()


@pytest.fixture
def ended(world: World) -> World:
    """One case that has ended, with all that it published."""
    world.buy()
    world.drive()
    world.close()
    world.change(outbox, published_at_ms=1, due_at_ms=None)
    world.change(notices, sent_at_ms=1, due_at_ms=None)
    return world


def test_a_dry_run_of_pruning_says_how_much_would_go_and_changes_nothing(sayso: Sayso, ended: World) -> None:
    answer = sayso("ledger", "prune", "--older-than", "PT0S", "--dry-run", "--json")
    assert answer.code == 0
    assert answer.json["would_prune"] == {"cases": 1, "events": 1, "published": 2, "tombstones": 0}
    assert sayso("ledger", "prune", "--older-than", "P1D", "--dry-run", "--json").json["would_prune"]["cases"] == 0
    assert len(ended.rows(cases)) == 1


def test_pruning_takes_ended_cases_away_and_says_who_did_it(sayso: Sayso, ended: World) -> None:
    answer = sayso("ledger", "prune", "--older-than", "PT0S", "--without-engine", "--vacuum", "--as", "alice", "--json")
    assert answer.code == 0
    told = answer.json["pruned"]
    assert (told["cases"], told["events"], told["tombstones"], told["kept"], told["free_bytes"]) == (1, 1, 1, 0, 0)
    assert ended.rows(cases) == []
    assert [row.actor for row in ended.rows(audit) if row.action == "pruned"] == ["alice"]
    again = sayso("ledger", "prune", "--older-than", "PT0S", "--without-engine")
    assert again.code == 0
    assert " 0  cases" in again.out


def test_without_a_running_stack_pruning_says_what_to_do(sayso: Sayso, ended: World) -> None:
    answer = sayso("ledger", "prune", "--older-than", "PT0S")
    assert answer.code == 5
    assert "--without-engine" in answer.err
    assert len(ended.rows(cases)) == 1


@pytest.mark.parametrize("text", ["90", "ninety days", "-P1D", ""])
def test_a_span_that_is_none_is_refused(sayso: Sayso, ended: World, text: str) -> None:
    answer = sayso("ledger", "prune", f"--older-than={text}", "--without-engine")
    assert answer.code == 2
    assert "ISO 8601" in answer.err
    assert len(ended.rows(cases)) == 1


def test_a_simulation_takes_the_bindings_of_the_configuration_folder(
    sayso: Sayso, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(place / "nowhere"))
    answer = sayso("simulate", "--events", "1")
    assert (answer.code, f"{place / 'nowhere' / 'bindings.yaml'}: cannot be read" in answer.err) == (2, True)
