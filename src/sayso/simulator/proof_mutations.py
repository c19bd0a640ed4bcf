"""The page about the mutations: which seed catches each, on which ledger, by which rule; and that it finds nothing without.

In: `catches.py`. Out: `docs/proof/mutations.md`, and whether all is as that table says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sayso.cli.simulating import ledger_urls
from sayso.simulator.catches import CATCHES
from sayso.simulator.mutations import MUTATIONS
from sayso.simulator.run import simulate

PAGE = Path("docs/proof/mutations.md")
HEAD = (
    "# Proof that the checker has teeth",
    "",
    "Written by `make proof` (alone: `python -m sayso.simulator.proof --mutations`): the production code, broken on purpose",
    "([simulation.md](../simulation.md)), run by the seed that a test holds. The last column: findings of the same run, not broken.",
    "",
    "| mutation | what is broken | ledger | scenario | seed | events | caught by | findings without it |",
    "|---" * 8 + "|",
)
MISSED = "**not caught**"


def write_page(commit: str) -> bool:
    """Run every mutation, and the same without it; whether each was caught by its rule, and nothing was found without."""
    with ledger_urls("postgresql") as new_url:
        rows = list(_rows(new_url))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join([*HEAD, *(row for row, _ in rows), "", f"Commit of the code: {commit}.", ""]), encoding="utf-8")
    return all(well for _, well in rows)


def _rows(new_url: Callable[[], str | None]) -> Iterator[tuple[str, bool]]:
    for name, (meaning, _) in MUTATIONS.items():
        catch = CATCHES[name]
        url = new_url if catch.ledger == "postgresql" else lambda: None
        rules = {finding.rule for finding in simulate(catch.run(name, url())).findings}
        without = len(simulate(catch.run(None, url())).findings)
        caught_by = catch.rule if catch.rule in rules else MISSED
        cells = (f"`{name}`", meaning, catch.ledger, catch.scenario, catch.seed, catch.events, caught_by, without)
        yield f"| {' | '.join(map(str, cells))} |", catch.rule in rules and without == 0
