"""Seeds that must pass, and the same seed twice. `make proof` runs thousands of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sayso.cli.main import app
from sayso.errors import ConfigurationError
from sayso.simulator.minimise import minimise, read_run, write_run
from sayso.simulator.run import Report, Run, simulate

EVENTS = 300


def timeless(report: Report) -> Report:
    return dataclasses.replace(report, seconds=0)


@pytest.mark.parametrize("seed", [1, 4, 11])
def test_nothing_is_lost_twice_or_wrong_in_memory(seed: int) -> None:
    report = simulate(Run(seed, EVENTS))
    assert report.findings == ()
    assert report.deliveries >= EVENTS
    assert report.states.keys() >= {"started", "consumed", "late", "refused"}
    assert "None" not in report.outcomes


@pytest.mark.parametrize("seed", [1, 4])
def test_nothing_is_lost_twice_or_wrong_where_a_policys_plan_decides(seed: int) -> None:
    report = simulate(Run(seed, EVENTS, scenario="stages"))
    assert report.findings == ()
    assert report.outcomes.keys() >= {"approved", "completed", "rejected", "timed_out", "withdrawn"}


@pytest.mark.parametrize("seed", [3, 4])
def test_nobody_fills_two_seats_and_nothing_is_approved_by_too_few(seed: int) -> None:
    report = simulate(Run(seed, EVENTS, scenario="seats"))
    assert report.findings == ()
    assert report.outcomes.keys() >= {"approved", "completed", "rejected", "timed_out", "withdrawn"}


def test_a_run_lost_before_its_start_was_known_leads_to_the_same_decision() -> None:
    """In this seed a lost run had used an approval; the next got a later rejection first, and both counted."""
    report = simulate(Run(11, 3_000))
    assert report.findings == ()
    assert report.lost_instances > 0


def test_nothing_is_lost_twice_or_wrong_on_a_file() -> None:
    assert simulate(Run(2, 300, "sqlite")).findings == ()


def test_the_same_seed_does_the_same_again_and_another_does_not() -> None:
    first, again, other = (timeless(simulate(Run(seed, 300))) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_failing_run_is_made_small_and_fails_again_from_its_file(tmp_path: Path) -> None:
    run = Run(1, 300, mutation="unclaimed-forgotten")
    report = simulate(run)
    smallest = minimise(run, report)
    assert smallest.messages is not None
    assert len(smallest.messages) <= 6 < report.messages
    write_run(smallest, tmp_path / "run.jsonl")
    again = read_run(tmp_path / "run.jsonl")
    assert simulate(again).findings[0].rule == report.findings[0].rule
    assert simulate(dataclasses.replace(again, mutation=None)).findings == ()


def test_the_command_says_what_happened_and_its_exit_code_is_the_verdict() -> None:
    good = CliRunner().invoke(app, ["simulate", "--seed", "3", "--events", "200", "--json"])
    assert good.exit_code == 0
    (report,) = json.loads(good.stdout)
    assert report["seed"] == 3
    assert report["findings"] == []


def test_the_command_keeps_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayso.cli.simulating.FOLDER", tmp_path)
    bad = CliRunner().invoke(app, ["simulate", "--seed", "1", "--events", "200", "--mutation", "unclaimed-forgotten"])
    assert bad.exit_code == 1
    assert "no final state" in bad.stdout
    again = CliRunner().invoke(app, ["simulate", "--replay", str(tmp_path / "seed-1.jsonl")])
    assert again.exit_code == 1


@pytest.mark.parametrize("content", [None, "", "{}", "no JSON", '{"seed": 1, "ledger": "memory", "mutation": null}\n{"at_ms": 1}'])
def test_a_file_that_no_run_wrote_is_one_clear_line(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "run.jsonl"
    if content is not None:
        file.write_text(content)
    words = "cannot be read" if content is None else "not a run that `sayso simulate` wrote"
    with pytest.raises(ConfigurationError, match=words):
        read_run(file)


@pytest.mark.parametrize("seed", [2, 9])
def test_a_worker_that_is_killed_in_the_middle_of_a_last_step_ends_no_case_twice(seed: int) -> None:
    report = simulate(Run(seed, EVENTS, scenario="last_steps"))
    assert report.findings == ()
    assert report.crashes > 0
