"""The proof goes on from what is checked in, whoever ran it, and any of its seeds can be run again and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sayso.simulator import proof, proof_lines
from sayso.simulator.proof_lines import Line
from sayso.simulator.run import Run, simulate

HERE, ELSEWHERE = "abc1234", "def5678"
FINDING = {"rule": "lost", "about": 'event "x", y', "text": "it was accepted,\nand there is no row"}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_lines, "FOLDER", tmp_path / "local")
    monkeypatch.setattr(proof_lines, "CHECKED_IN", tmp_path / "docs")
    monkeypatch.setattr(proof, "REPORT", tmp_path / "docs" / "simulation.md")
    monkeypatch.setattr(proof, "commit", lambda: HERE)


def line(seed: int, commit: str = HERE, **fields: Any) -> Line:
    values: Line = {
        "seed": seed,
        "ledger": "memory",
        "deliveries": 10_000,
        "messages": 4_795,
        "cases": 1_368,
        "crashes": 32,
        "lost_instances": 0,
        "seconds": 6.06,
        "states": {"consumed": 1_191, "late": 796},
        "outcomes": {"approved": 319},
        "findings": [],
        "events": 8_000,
        "commit": commit,
    }
    return values | fields


def write_here(*written: Line, end: str = "\n") -> None:
    path = proof_lines.local_path("memory")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, written)) + end, encoding="utf-8")


def forget_here() -> None:
    proof_lines.local_path("memory").unlink()


def test_what_is_checked_in_says_all_that_was_written_here() -> None:
    known = [line(1), line(2, states={"held": 3}, findings=[FINDING]), line(3, ELSEWHERE, outcomes={"None": 1})]
    write_here(*reversed(known), end='\n{"seed": 4, "led')  # the last one was cut by a kill
    assert not proof.write_report()
    page = (proof_lines.CHECKED_IN / "simulation.md").read_text(encoding="utf-8")
    forget_here()
    assert proof_lines.lines("memory") == known
    assert not proof.write_report()
    assert (proof_lines.CHECKED_IN / "simulation.md").read_text(encoding="utf-8") == page


def test_a_thousand_seeds_are_checked_in_within_150_kb() -> None:
    states = {f"state-{number:03}": 1_234 for number in range(10)}
    outcomes = {f"outcome-{number}": 123 for number in range(8)}
    proof_lines.check_in("memory", [line(seed, states=states, outcomes=outcomes) for seed in range(1, 1_001)])
    assert proof_lines.checked_in_path("memory").stat().st_size < 150_000


@pytest.mark.parametrize(("commit", "seeds"), [(HERE, [1, 2, 3]), (ELSEWHERE, [1, 3]), (f"{HERE}+", [3])])
def test_a_run_goes_on_from_what_is_checked_in_for_its_own_code(
    commit: str, seeds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    proof_lines.check_in("memory", [line(1, commit if commit == ELSEWHERE else HERE), line(2, HERE)])
    write_here(line(3, "0ld"))
    monkeypatch.setattr(proof, "commit", lambda: commit)
    todo = proof.Proof("memory", deliveries=100_000, each=8_000)
    assert todo.total == 10_000 * len(seeds)
    assert [known["seed"] for known in proof_lines.lines("memory", commit)] == seeds


def test_a_fresh_run_begins_with_nothing() -> None:
    proof_lines.check_in("memory", [line(1)])
    assert proof.Proof("memory", 100_000, 8_000, fresh=True).total == 0


def test_a_seed_of_this_machine_is_taken_before_the_checked_in_one() -> None:
    proof_lines.check_in("memory", [line(1, ELSEWHERE)])
    write_here(line(1, HERE))
    assert [known["commit"] for known in proof_lines.lines("memory")] == [HERE]


def _as_it_was(known: Line) -> Line:
    return known


def _one_late_event_more(known: Line) -> Line:
    return known | {"states": {**known["states"], "late": known["states"].get("late", 0) + 1}}


@pytest.mark.parametrize(("change", "same"), [(_as_it_was, True), (_one_late_event_more, False)])
def test_a_seed_that_is_run_again_is_compared(change: Callable[[Line], Line], same: bool, capsys: pytest.CaptureFixture[str]) -> None:
    known = proof.line_of(simulate(Run(4, 60)), 60, ELSEWHERE)
    proof_lines.check_in("memory", [change(known)])
    assert proof.run_again("memory", 4) is same
    said = capsys.readouterr().err
    assert ("gives the same again" in said) is same
    assert f"it was run by commit {ELSEWHERE}" in said


def test_a_seed_that_nobody_ran_cannot_be_compared() -> None:
    assert not proof.run_again("memory", 5)
