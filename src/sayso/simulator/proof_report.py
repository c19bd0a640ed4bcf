"""The page about the proof: how many seeds and deliveries on which ledger, of which commit, and what was found.

In: the lines that `proof.py` keeps, by ledger. Out: Markdown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

WANTED = {"memory": (10_000_000, 8_000), "sqlite": (1_000_000, 5_000)}
"""Ledger → deliveries in all, and at least in each seed: a thousand seeds in memory, and 200 on a file, in any weather."""
Line = dict[str, Any]


def report(found: dict[str, list[Line]]) -> str:
    """The page."""
    all_runs = [run for runs in found.values() for run in runs]
    return "\n".join(
        [
            "# Proof by simulation",
            "",
            "Written by `make proof`; what is run and asked: [simulation.md](../simulation.md). A delivery is a message that",
            "subscribers had to deal with, repetitions included. Findings: what the checker found lost, twice, unfinished or wrong.",
            "",
            "| ledger | seeds | deliveries (wanted) | messages | cases | kills | instances lost | findings | µs of CPU a delivery |",
            "|---" * 9 + "|",
            *(_row(ledger, runs) for ledger, runs in found.items() if runs),
            "",
            f"Final states: {_counts(run['states'] for run in all_runs)}.",
            "",
            f"Outcomes: {_counts(run['outcomes'] for run in all_runs)}.",
            "",
            *_commits(found),
            *_findings(found),
        ]
    )


def _row(ledger: str, runs: list[Line]) -> str:
    def total(field: str) -> int:
        return sum(run[field] for run in runs)

    findings = sum(len(run["findings"]) for run in runs)
    rate = sum(run["seconds"] for run in runs) / max(1, total("deliveries")) * 1e6
    return (
        f"| {ledger} | {len(runs):,} | {total('deliveries'):,} ({WANTED[ledger][0]:,}) | {total('messages'):,} | {total('cases'):,} | "
        f"{total('crashes'):,} | {total('lost_instances'):,} | {findings} | {rate:.0f} |"
    )


def _commits(found: dict[str, list[Line]]) -> list[str]:
    """Which code ran: a proof that was stopped and gone on with may be of several."""
    of_commit: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for ledger, runs in found.items():
        for run in runs:
            of_commit[run["commit"], ledger].append(run)
    rows = [
        f"| {commit} | {ledger} | {len(runs):,} | {sum(run['deliveries'] for run in runs):,} |"
        for (commit, ledger), runs in of_commit.items()
    ]
    return ["| commit of the code | ledger | seeds | deliveries |", "|---|---|---|---|", *rows, ""]


def _findings(found: dict[str, list[Line]]) -> list[str]:
    rows = []
    for ledger, runs in found.items():
        for run in runs:
            again = f"`sayso simulate --seed {run['seed']} --events {run['events']} --ledger {ledger}`"
            rows += [
                f"- {ledger}, {run['commit']}, {again}: {finding['rule']}: {finding['about']}: {finding['text']}"
                for finding in run["findings"]
            ]
    return ["## Findings", "", *rows, ""] if rows else []


def _counts(each: Iterable[dict[str, int]]) -> str:
    total: Counter[str] = Counter()
    for counts in each:
        total.update(counts)
    return ", ".join(f"{name} {count:,}" for name, count in sorted(total.items()))
