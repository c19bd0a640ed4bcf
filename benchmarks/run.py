"""`python -m benchmarks.run`: a by-hand Dapr app and Sayso on the same kind of stack, one after the other, side by side.

In: options. Out: a table (or JSON) on stdout, progress on stderr. Rounds alternate (by hand, Sayso, Sayso, by hand, …), each on a
fresh stack, so that drift of the machine shows as spread and not as a difference.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks import report
from benchmarks.contestants import CONTESTANTS, SAYSO, Contestant
from benchmarks.drive import Ground, driven
from benchmarks.measure import (
    Duplicates,
    Round,
    Waiting,
    as_json,
    load_average,
    measure_duplicates,
    measure_round,
    measure_waiting,
)
from sayso.errors import SaysoError
from sayso.stack.state import Broker, LedgerKind


def main(
    n: Annotated[int, typer.Option(min=0, help="Cases of a round; 0 leaves the rounds out.")] = 500,
    waiting: Annotated[int, typer.Option(min=0, help="Also start this many cases and leave them waiting, e.g. 10000.")] = 0,
    duplicates: Annotated[int, typer.Option(min=0, help="Also send Sayso this many messages that it has, e.g. 10000.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each.")] = 2,
    only: Annotated[Literal["byhand", "sayso"] | None, typer.Option(help="Only one of the two.")] = None,
    broker: Annotated[Broker, typer.Option(help="Broker of the stack.")] = "valkey",
    ledger: Annotated[LedgerKind, typer.Option(help="Ledger and, with it, the state store of the stack.")] = "sqlite",
    rate: Annotated[
        float | None, typer.Option(help="Decisions a second for publish-to-woken [half of what the first round closed].")
    ] = None,
    warm_up: Annotated[int, typer.Option(min=1, help="Cases that warm each stack first.")] = 30,
    state_dir: Annotated[Path, typer.Option(help="Folder of the stacks; on the disk that you mean to use.")] = Path(".sayso/bench"),
    as_json_text: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Compare Sayso with a by-hand Dapr app: cases/s, publish to woken, CPU and memory by process."""
    contestants = [CONTESTANTS[only]] if only else list(CONTESTANTS.values())
    ground = Ground(broker, ledger, state_dir)
    played = _play(contestants, ground, n, rounds, rate, warm_up) if n else []
    waited = [_wait(contestant, ground, waiting, warm_up) for contestant in contestants] if waiting else []
    repeated = _repeat(ground, duplicates, warm_up) if duplicates else None
    what = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "stack": f"{broker} + {ledger}",
        "cases": n,
        "rounds of each": rounds,
    }
    if as_json_text:
        figures = {"summary": report.summary(played), "rounds": [as_json(one) for one in played]}
        print(
            json.dumps(
                {**what, **figures, "waiting": [as_json(one) for one in waited], "duplicates": repeated and as_json(repeated)},
                indent=2,
            )
        )
        return
    print(", ".join(f"{name} {value}" for name, value in what.items()) + "\n")
    for line in (*(report.comparison(played) if played else ()), *(report.waiting_table(waited) if waited else ())):
        print(line)
    if repeated:
        print(f"duplicates absorbed: {repeated.absorbed_per_second:,.0f}/s; others used {repeated.others_cpu_percent:.0f} % CPU")


def _play(contestants: Sequence[Contestant], ground: Ground, count: int, rounds: int, rate: float | None, warm_up: int) -> list[Round]:
    played: list[Round] = []
    for number in range(rounds):
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            _say(f"round {number + 1} of {rounds}: {contestant.title}, {count} cases")
            load = load_average()
            with driven(contestant, ground, warm_up) as driver:
                one = measure_round(driver, count, rate, load)
            played.append(one)
            if rate is None:
                rate = one.flow.closes_per_second / 2
            _say(
                f"  {one.flow.cases_per_second:.1f} cases/s, p50 {one.wake.p50_ms:.1f} ms, "
                f"{one.flow.cpu_ms_per_case_total:.1f} CPU ms a case; others used {one.flow.others_cpu_percent:.0f} % CPU"
            )
    return played


def _wait(contestant: Contestant, ground: Ground, count: int, warm_up: int) -> Waiting:
    _say(f"{contestant.title}: {count} cases that wait")
    load = load_average()
    with driven(contestant, ground, warm_up) as driver:
        return measure_waiting(driver, count, load)


def _repeat(ground: Ground, count: int, warm_up: int) -> Duplicates:
    _say(f"{SAYSO.title}: {count} messages again")
    load = load_average()
    with driven(SAYSO, ground, warm_up) as driver:
        return measure_duplicates(driver, count, load)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        typer.run(main)
    except SaysoError as error:
        _say(str(error))
        sys.exit(error.exit_code)
