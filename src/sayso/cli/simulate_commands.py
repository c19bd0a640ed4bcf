"""`sayso simulate`: production code on virtual time, under a seeded broker and seeded crashes, judged by the checker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.cli.output import Json


def simulate(
    seed: Annotated[int, typer.Option("--seed", help="The first seed; the same seed does the same again.")] = 1,
    events: Annotated[int, typer.Option("--events", min=1, help="How many deliveries a seed makes, repetitions included.")] = 2_000,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds, one after the other.")] = 1,
    ledger: Annotated[str, typer.Option("--ledger", help="memory, sqlite (a file) or postgresql.")] = "memory",
    scenario: Annotated[
        str, typer.Option("--scenario", help="What it is mostly about: usual, deadlines, collisions, stages, seats or last_steps.")
    ] = "usual",
    mutation: Annotated[str | None, typer.Option("--mutation", help="Break the code on purpose; `list` shows the names.")] = None,
    replay: Annotated[Path | None, typer.Option("--replay", help="A file that a failing run has written.")] = None,
    as_json: Json = False,
) -> None:
    """Simulate seeds and judge each. Exit code 1 on findings; the smallest failing input goes to .sayso/simulate/."""
    from sayso.cli.simulating import run_seeds  # noqa: PLC0415 - it loads subscribers and worker

    raise typer.Exit(run_seeds(seed, events, seeds, ledger, mutation, replay, scenario=scenario, as_json=as_json))
