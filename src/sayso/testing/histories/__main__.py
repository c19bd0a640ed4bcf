"""`python -m sayso.testing.histories`: record the histories of scenarios on the real runtime, into `tests/histories/`.

A history that is there stays: it is what cases in flight look like. `--missing` records the rows that have none yet; a name records
that one anew, which is right only when no case of the old kind can be in flight any more (docs/workflow-versions.md).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from sayso.errors import ConfigurationError
from sayso.testing.command import run, say
from sayso.testing.histories.record import record
from sayso.testing.histories.scenarios import SCENARIOS, Scenario
from sayso.testing.stack import PROJECT

HISTORIES = PROJECT / "tests" / "histories"


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[WORKFLOW.SCENARIO]...", help="Rows to record anew.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Record the rows that have no history yet.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the histories are.")] = HISTORIES,
) -> None:
    """Record histories; without an argument say which rows there are."""
    chosen = _chosen(names or [], folder if missing else None)
    if not chosen:
        for scenario in SCENARIOS:
            say(f"{scenario.title}{'' if _file(folder, scenario).exists() else '  (not recorded)'}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sayso-histories-") as state_dir:
        for scenario, document in record(chosen, Path(state_dir), say):
            _file(folder, scenario).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _chosen(names: list[str], missing_in: Path | None) -> list[Scenario]:
    by_title = {scenario.title: scenario for scenario in SCENARIOS}
    for name in names:
        if name not in by_title:
            raise ConfigurationError(f"no scenario {name}; there are: {', '.join(by_title)}")
    found = [by_title[name] for name in names]
    return found + [one for one in SCENARIOS if missing_in is not None and not _file(missing_in, one).exists() and one not in found]


def _file(folder: Path, scenario: Scenario) -> Path:
    return folder / f"{scenario.title}.json"


if __name__ == "__main__":
    run(main)
