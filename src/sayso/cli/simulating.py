"""What `sayso simulate` does: runs, a line a seed, the verdict, and for what fails its smallest input."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from sayso.cli.output import print_json, say
from sayso.errors import ConfigurationError
from sayso.settings import Settings
from sayso.simulator.minimise import minimise, read_run, write_run
from sayso.simulator.mutations import MUTATIONS
from sayso.simulator.run import LEDGERS, Report, Run, simulate
from sayso.simulator.scenarios import SCENARIOS

FOLDER = Path(".sayso/simulate")
FINDINGS_SHOWN = 10


def run_seeds(
    seed: int, events: int, seeds: int, ledger: str, mutation: str | None, replay: Path | None, *, scenario: str, as_json: bool
) -> int:
    """Everything; returns the exit code."""
    if mutation == "list":
        for name, (meaning, _) in MUTATIONS.items():
            typer.echo(f"{name:26} {meaning}")
        return 0
    if ledger not in LEDGERS:
        raise ConfigurationError(f'no ledger "{ledger}"; valid: {", ".join(LEDGERS)}')
    if scenario not in SCENARIOS:
        raise ConfigurationError(f'no scenario "{scenario}"; valid: {", ".join(SCENARIOS)}')
    first = Run(seed, events, ledger, mutation, scenario=scenario)
    runs = [read_run(replay)] if replay else [dataclasses.replace(first, seed=seed + number) for number in range(seeds)]
    bindings = Settings().config_dir / "bindings.yaml"
    runs = [dataclasses.replace(run, bindings=bindings) for run in runs]
    with ledger_urls(runs[0].ledger) as new_url:
        reports = []
        for number, each in enumerate(runs, 1):
            report = simulate(dataclasses.replace(each, ledger_url=new_url()))
            reports.append(report)
            _say_progress(number, len(runs), report)
    _print(reports, as_json=as_json)
    failed = next(((run, report) for run, report in zip(runs, reports, strict=True) if report.findings), None)
    if failed is None:
        return 0
    if replay is None:
        _keep_smallest(*failed)
    return 1


@contextmanager
def ledger_urls(ledger: str) -> Generator[Callable[[], str | None], None, None]:
    """Empty databases, where the ledger needs a server."""
    if ledger != "postgresql":
        yield lambda: None
        return
    from sayso.testing.ledgers import postgresql_ledgers  # noqa: PLC0415 - it needs the extra `local`

    with tempfile.TemporaryDirectory(prefix="sayso-simulate-") as folder, postgresql_ledgers(Path(folder)) as ledgers:
        yield ledgers.create


def _say_progress(number: int, of: int, report: Report) -> None:
    verdict = f"{len(report.findings)} findings" if report.findings else "all well"
    rate = report.seconds / max(report.deliveries, 1) * 1e6
    say(
        f"seed {report.seed} ({number}/{of}): {report.deliveries} deliveries of {report.messages} messages, {report.cases} cases, "
        f"{report.crashes} crashes, {rate:.0f} µs a delivery: ",
        (verdict, "bold red" if report.findings else "green"),
    )


def _print(reports: list[Report], *, as_json: bool) -> None:
    if as_json:
        print_json(reports)
        return
    for title, counts in (
        ("events", _sum(report.states for report in reports)),
        ("cases", _sum(report.outcomes for report in reports)),
    ):
        typer.echo(f"{title:8}" + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    deliveries, seconds = sum(report.deliveries for report in reports), sum(report.seconds for report in reports)
    typer.echo(f"rate    {deliveries} deliveries in {seconds:.1f} s of CPU: {deliveries / max(seconds, 1e-9):.0f} a second")
    findings = [(report.seed, finding) for report in reports for finding in report.findings]
    typer.echo(f"verdict {len(findings)} findings in {len(reports)} seeds")
    for seed, finding in findings[:FINDINGS_SHOWN]:
        typer.echo(f"  seed {seed}: {finding}")


def _sum(counts: Iterator[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _keep_smallest(run: Run, report: Report) -> None:
    """Write the smallest input that still fails; on PostgreSQL the run itself can be repeated by its seed."""
    if run.ledger == "postgresql":
        say(f"again: sayso simulate --seed {run.seed} --events {run.events} --ledger postgresql --scenario {run.scenario}")
        return
    say("looking for the smallest input that fails …")
    smallest = minimise(run, report)
    path = FOLDER / f"seed-{run.seed}.jsonl"
    write_run(smallest, path)
    say(f"{len(smallest.messages or ())} messages are enough; again: sayso simulate --replay {path}")
