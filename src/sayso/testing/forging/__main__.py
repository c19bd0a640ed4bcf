"""`python -m sayso.testing.forging`: many forged decisions, and a page that says how many got in."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from sayso.correlation.bindings import load_bindings
from sayso.errors import SaysoError
from sayso.gate import Decision
from sayso.testing.forging.company import Company, Door
from sayso.testing.forging.forger import Forger
from sayso.testing.stack import PROJECT

REPORT = PROJECT / "docs" / "proof" / "forgeries.md"
HONEST = Decision(approved=True, approver="bob", reason="within budget", channel="topic, signed by erp")


@dataclass
class Tally:
    """What was tried, by trick."""

    tried: Counter[str] = field(default_factory=Counter)
    harmless: Counter[str] = field(default_factory=Counter)
    """A bit was turned that no decision depends on: it got in as the honest decision that it is."""
    got_in: Counter[str] = field(default_factory=Counter)

    @property
    def breaches(self) -> int:
        """How many got in that nobody may take."""
        return self.got_in.total()


def attempt(forger: Forger, door: Door, count: int) -> Tally:
    """Try so many forgeries."""
    tally = Tally()
    for name, body in forger.forgeries(count):
        tally.tried[name] += 1
        answer = door.let_in(body)
        if answer is not None:
            where = tally.harmless if name == "one bit of the whole event changed" and answer[1] == HONEST else tally.got_in
            where[name] += 1
    return tally


def main(
    count: Annotated[int, typer.Option(help="How many.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Where the tricks begin.")] = 1,
    report: Annotated[Path, typer.Option(help="The page to write.")] = REPORT,
) -> None:
    """Try forged decisions in this process, and write what came of it. Exit code 1 when one got in."""
    company = Company()
    began = time.monotonic()
    tally = attempt(Forger(company, random.Random(seed)), Door(load_bindings(PROJECT / "config" / "bindings.yaml"), company), count)  # noqa: S311 - a seed
    report.write_text(_page(tally, count, seed), encoding="utf-8")
    print(f"{count} forgeries in {time.monotonic() - began:.0f} s, {tally.breaches} got in: {report}", file=sys.stderr)  # noqa: T201 - progress
    if tally.breaches:
        raise SaysoError(f"{tally.breaches} forged decisions got in")


def _page(tally: Tally, count: int, seed: int) -> str:
    rows = [f"| {name} | {tried} | {tally.got_in[name]} |" for name, tried in tally.tried.items()]
    return "\n".join(
        (
            "# Forged decisions",
            "",
            f"Written by `make forgeries` (`--count {count} --seed {seed}`): generated forgeries against correlation, notary",
            "and gate together, in one process ([docs/signing.md](../signing.md)). The keys are new at every run, the tricks are",
            "those of the seed.",
            "",
            f"**{count:,} tried, {tally.breaches} got in.** Of the single bits, {tally.harmless.total():,} hit what no decision",
            "depends on (a blank, a name that nobody reads): those events got in as the honest decision that they still were.",
            "",
            "| trick | tried | got in |",
            "|---|---|---|",
            *rows,
            "",
        )
    )


if __name__ == "__main__":
    typer.run(main)
