"""The lines of the proof, one a seed: as they are written while it runs, and as they are checked in.

In: `.sayso/proof/LEDGER.jsonl`, which this machine wrote, and `docs/proof/LEDGER.csv`, which whoever ran the proof last has checked
in. Out: one line a seed, its own before a checked-in one; and the CSV, about a hundred bytes a seed, with everything that the
report is made of and that somebody who runs the seed again compares. Invariant: what is written as CSV is read as it was.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(".sayso/proof")
CHECKED_IN = Path("docs/proof")
CHANGED = "+"
"""Ends the name of a commit whose code was changed since."""
Line = dict[str, Any]
NUMBERS = ("seed", "events", "deliveries", "messages", "cases", "crashes", "lost_instances")
COUNTS = ("states", "outcomes")
REPRODUCIBLE = (*NUMBERS, *COUNTS, "findings")
"""What the same seed on the same code gives again, on every machine."""


def local_path(ledger: str) -> Path:
    """Where this machine's lines are."""
    return FOLDER / f"{ledger}.jsonl"


def checked_in_path(ledger: str) -> Path:
    """Where everybody's lines are."""
    return CHECKED_IN / f"{ledger}.csv"


def lines(ledger: str, commit: str | None = None) -> list[Line]:
    """What is known of each seed. With a commit, only that one's among those that are checked in: others are of another code."""
    known = {line["seed"]: line for line in checked_in(ledger) if commit is None or _is_of(line, commit)}
    known |= {line["seed"]: line for line in local(ledger)}
    return [known[seed] for seed in sorted(known)]


def local(ledger: str) -> Iterator[Line]:
    """The seeds that this machine has done; a last line that a kill has cut is left out."""
    path = local_path(ledger)
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):
                yield {"ledger": ledger, **json.loads(line)}


def checked_in(ledger: str) -> Iterator[Line]:
    """The seeds of the CSV."""
    path = checked_in_path(ledger)
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            counts = {kind: _counts(row, kind) for kind in COUNTS}
            findings = json.loads(row["findings"]) if row["findings"] else []
            numbers = {name: int(row[name]) for name in NUMBERS}
            yield {
                **numbers,
                "ledger": ledger,
                "seconds": float(row["seconds"]),
                "commit": row["commit"],
                "findings": findings,
                **counts,
            }


def check_in(ledger: str, known: Iterable[Line]) -> None:
    """Write the CSV anew; a count that is zero is left empty."""
    known = sorted(known, key=lambda line: line["seed"])
    columns = [f"{kind}.{name}" for kind in COUNTS for name in sorted({name for line in known for name in line[kind]})]
    path = checked_in_path(ledger)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [*NUMBERS, "seconds", "commit", "findings", *columns], lineterminator="\n")
        table.writeheader()
        for line in known:
            row = {name: line[name] for name in NUMBERS}
            row |= {f"{kind}.{name}": count for kind in COUNTS for name, count in line[kind].items()}
            findings = json.dumps(line["findings"], separators=(",", ":")) if line["findings"] else ""
            table.writerow({**row, "seconds": round(line["seconds"], 2), "commit": line["commit"], "findings": findings})


def difference(one: Line, other: Line) -> list[str]:
    """What two runs of a seed should have in common and have not; of findings how many there are."""
    return [f"{name}: {_brief(one[name])} and {_brief(other[name])}" for name in REPRODUCIBLE if one[name] != other[name]]


def _brief(value: Any) -> Any:
    return len(value) if isinstance(value, list) else value


def _is_of(line: Line, commit: str) -> bool:
    """Changes that nobody has committed have no name by which they would be found to be the same."""
    return bool(line["commit"] == commit) and not commit.endswith(CHANGED)


def _counts(row: dict[str, str], kind: str) -> dict[str, int]:
    return {name.partition(".")[2]: int(count) for name, count in row.items() if name.startswith(f"{kind}.") and count}
