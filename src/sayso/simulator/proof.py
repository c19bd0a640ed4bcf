"""`make proof`: thousands of seeds on all cores, resumable, and a report.

In: how many deliveries on which ledger. Out: a line a seed in `.sayso/proof/LEDGER.jsonl`, and `docs/proof/simulation.md` made of all
lines. A seed that is in the file is not run again; a seed that fails stays in the report until its line is removed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from sayso.simulator.run import Run, simulate

FOLDER = Path(".sayso/proof")
REPORT = Path("docs/proof/simulation.md")
WANTED = {"memory": (10_000_000, 10_000), "sqlite": (1_000_000, 5_000)}
"""Ledger → deliveries in all, and at least in each seed."""


def prove(ledger: str, deliveries: int, each: int, processes: int) -> None:
    """Run seeds until the ledger has its deliveries."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{ledger}.jsonl"
    done = list(lines(path))
    seeds = (seed for seed in range(1, 1_000_000) if seed not in {line["seed"] for line in done})
    total = sum(line["deliveries"] for line in done)
    with path.open("a", encoding="utf-8") as file, ProcessPoolExecutor(processes, max_tasks_per_child=20) as pool:
        running = {pool.submit(simulate, Run(next(seeds), each, ledger)) for _ in range(processes if total < deliveries else 0)}
        while running:
            future = next(as_completed(running))
            running.remove(future)
            line = {**dataclasses.asdict(future.result()), "commit": commit()}
            file.write(json.dumps(line) + "\n")
            file.flush()
            total += line["deliveries"]
            print(f"{ledger}: seed {line['seed']}, {len(line['findings'])} findings; {total:,} of {deliveries:,}", file=sys.stderr)  # noqa: T201
            if total < deliveries:
                running.add(pool.submit(simulate, Run(next(seeds), each, ledger)))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The seeds that were done; a last line that a kill has cut is left out."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):
                yield json.loads(line)


def write_report(path: Path = REPORT) -> None:
    """From all lines."""
    found = {ledger: list(lines(FOLDER / f"{ledger}.jsonl")) for ledger in WANTED}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report(found), encoding="utf-8")


def report(found: dict[str, list[dict[str, Any]]]) -> str:
    """The page."""
    rows = [_row(ledger, runs) for ledger, runs in found.items() if runs]
    head = "| ledger | seeds | deliveries (wanted) | messages | cases | kills | instances lost | findings | µs of CPU a delivery |"
    states = _counts([run["states"] for runs in found.values() for run in runs])
    outcomes = _counts([run["outcomes"] for runs in found.values() for run in runs])
    commits = sorted({run["commit"] for runs in found.values() for run in runs})
    findings = [
        f"- {ledger}, seed {run['seed']}: {finding['rule']}: {finding['about']}: {finding['text']}"
        for ledger, runs in found.items()
        for run in runs
        for finding in run["findings"]
    ]
    return "\n".join(
        [
            "# Proof by simulation",
            "",
            "Written by `make proof`; what is run and asked: [simulation.md](../simulation.md). A delivery is a message that",
            "subscribers had to deal with, repetitions included. Findings: what the checker found lost, twice, unfinished or wrong.",
            "",
            head,
            "|---" * 9 + "|",
            *rows,
            "",
            f"Final states: {states}.",
            "",
            f"Outcomes: {outcomes}.",
            "",
            f"Commits: {', '.join(commits)}.",
            "",
            *(["## Findings", "", *findings, ""] if findings else []),
        ]
    )


def _row(ledger: str, runs: list[dict[str, Any]]) -> str:
    def total(field: str) -> int:
        return sum(run[field] for run in runs)

    findings = sum(len(run["findings"]) for run in runs)
    rate = sum(run["seconds"] for run in runs) / total("deliveries") * 1e6
    return (
        f"| {ledger} | {len(runs):,} | {total('deliveries'):,} ({WANTED[ledger][0]:,}) | {total('messages'):,} | {total('cases'):,} | "
        f"{total('crashes'):,} | {total('lost_instances'):,} | {findings} | {rate:.0f} |"
    )


def _counts(each: list[dict[str, int]]) -> str:
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    return ", ".join(f"{name} {count:,}" for name, count in sorted(total.items()))


def commit() -> str:
    """Of the code that runs, in short."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"  # noqa: S603


def main() -> None:
    """Both ledgers, then the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", choices=WANTED, action="append", help="only this one; several times")
    parser.add_argument("--deliveries", type=int, help="instead of the whole number")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    try:
        for ledger in asked.ledger or WANTED:
            wanted, each = WANTED[ledger]
            prove(ledger, asked.deliveries or wanted, each, asked.processes)
    except KeyboardInterrupt:
        pass
    finally:
        write_report()


if __name__ == "__main__":
    main()
