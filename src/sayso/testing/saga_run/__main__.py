"""`python -m sayso.testing.saga_run`: seeded sagas that fail everywhere, and a worker that is killed between steps (`make sagas`).

In: options. Out: progress and complaints on stderr, the numbers on stdout. Exit code 0 only if every book balances.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.stack.state import Broker, LedgerKind
from sayso.testing.command import run, say
from sayso.testing.saga_run.run import Terms, saga_run


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many; each is one saga of every workflow.")] = 200,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    wave: Annotated[int, typer.Option(min=1, help="How many seeds are in flight at once.")] = 8,
    broker: Annotated[Broker, typer.Option(help="Broker of the stack.")] = "valkey",
    ledger: Annotated[LedgerKind, typer.Option(help="Ledger of the stack.")] = "sqlite",
    state_dir: Annotated[Path, typer.Option(help="Folder of data and logs.")] = Path(".sayso/sagas"),
) -> None:
    """Run sagas that fail at every step and in every undo, kill the worker between steps, and check the partner's books."""
    result = saga_run(Terms(range(first, first + seeds), state_dir.resolve(), wave, broker, ledger), say)
    for complaint in result.wrong:
        say(complaint)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(result.outcomes.items()))
    print(  # noqa: T201 - the answer
        f"{sum(result.outcomes.values())} sagas of {seeds} seeds in {result.seconds:.0f} s: {outcomes}; {result.effects} effects; "
        f"{result.unsettled} undos left to a person; worker killed {len(result.killed_after)} times, once after each of: "
        f"{', '.join(result.killed_after) or 'nothing'}; not after: {', '.join(result.not_killed_after) or 'none'}; "
        f"{len(result.wrong)} complaints"
    )
    raise typer.Exit(1 if result.wrong else 0)


if __name__ == "__main__":
    run(main)
