"""`python -m sayso.testing.fault_run`: one fault run (`make faults`).

In: options. Out: progress on stderr, the report as Markdown on stdout or in `--report FILE`. Exit code 0 only if all was well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.stack.state import Broker, LedgerKind
from sayso.testing.command import run, say
from sayso.testing.fault_run.report import markdown, verdict
from sayso.testing.fault_run.run import RECORDS, Terms, fault_run


def main(
    broker: Annotated[Broker, typer.Option(help="Broker of the stack.")] = "valkey",
    ledger: Annotated[LedgerKind, typer.Option(help="Ledger of the stack, and Dapr's state store with it.")] = "sqlite",
    minutes: Annotated[float, typer.Option(min=0.1, help="How long load and strikes last.")] = 5,
    seed: Annotated[int, typer.Option(help="Decides stories and strikes.")] = 7,
    rate: Annotated[float, typer.Option(min=0.1, help="Stories a second; one is about four messages.")] = 2,
    every: Annotated[float, typer.Option(min=1, help="Mean seconds between two strikes.")] = 9,
    replicas: Annotated[int, typer.Option(min=1, max=4, help="Sidecars with subscribers and worker of their own.")] = 1,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of data, logs and records [.sayso/faults-BROKER].")] = None,
    report: Annotated[Path | None, typer.Option(help="File for the report.")] = None,
) -> None:
    """Kill, pause and cut off the real parts under load, then check that nothing was lost and nothing happened twice."""
    folder = state_dir or Path(".sayso") / f"faults-{broker}"
    terms = Terms(broker, ledger, minutes * 60, seed, folder.resolve(), rate, every, replicas)
    result = fault_run(terms, say)
    text = markdown(result)
    if report is None:
        print(text)  # noqa: T201 - the answer
    else:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(text, encoding="utf-8")
    say(f"{'all is well' if result.is_well else 'NOT well'}: {verdict(result)}; records: {folder / RECORDS}")
    raise typer.Exit(0 if result.is_well else 1)


if __name__ == "__main__":
    run(main)
