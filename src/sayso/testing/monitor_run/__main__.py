"""`python -m sayso.testing.monitor_run`: a monitor of thousands of checks, with events all along (`make monitors`).

In: options. Out: progress and complaints on stderr, a report in Markdown. Exit code 0 only if every alert and every event is right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.stack.state import Broker, LedgerKind
from sayso.testing.command import run, say
from sayso.testing.monitor_run.report import report
from sayso.testing.monitor_run.run import Terms, monitor_run


def main(
    iterations: Annotated[int, typer.Option(min=10, help="How many checks.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Of the target's schedule and of the events.")] = 1,
    broker: Annotated[Broker, typer.Option(help="Broker of the stack.")] = "valkey",
    ledger: Annotated[LedgerKind, typer.Option(help="Ledger of the stack.")] = "sqlite",
    state_dir: Annotated[Path, typer.Option(help="Folder of data and logs.")] = Path(".sayso/monitors"),
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/proof/monitors.md"),
) -> None:
    """Run one monitor for thousands of checks, and compare its alerts with its target's own log."""
    result = monitor_run(Terms(iterations, state_dir.resolve(), seed, broker, ledger), say)
    for complaint in result.wrong:
        say(complaint)
    out.write_text(report(result), encoding="utf-8")
    say(f"{result.checks} checks, {sum(result.alerts.values())} alerts, {len(result.wrong)} complaints; see {out}")
    raise typer.Exit(1 if result.wrong else 0)


if __name__ == "__main__":
    run(main)
