"""`sayso policy check` and `sayso policy test`: which policies there are, and whether they do what their tables expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sayso.cli.output import out, print_json, printable, say, table
from sayso.errors import ConfigurationError
from sayso.policy.expectations import check_expectations
from sayso.policy.rulebook import Rulebook, load_rulebook
from sayso.policy.rules import Policy
from sayso.settings import load_settings


def check_policies(*, as_json: bool) -> None:
    """Print the policies; the first thing that is wrong raises."""
    settings = load_settings()
    rulebook = load_rulebook(settings)
    rows = [_row(policy, rulebook) for policy in rulebook.policies.by_name.values()]
    folder = settings.config_dir / "policies"
    if as_json:
        print_json({"folder": str(folder), "policies": rows, "calendars": sorted(rulebook.calendars)})
        return
    headings = ("POLICY", "VERSION", "WORKFLOW", "RULES", "COUNTS", "WHAT IT SAYS")
    cells = ([row["name"], row["version"], row["workflow"], str(len(row["rules"])), _counts(row), row["description"]] for row in rows)
    out().print(table(headings, ([printable(cell) for cell in line] for line in cells)))
    if settings.policies.time_scale != 1:
        say((f"every wait is multiplied by {settings.policies.time_scale:g} (policies.time_scale)", "yellow"))
    say((f"{folder}: all of it is valid", "green"))


def _row(policy: Policy, rulebook: Rulebook) -> dict[str, Any]:
    return {
        "name": policy.name,
        "version": policy.version,
        "workflow": policy.workflow,
        "counts": rulebook.policies.in_use.get(policy.workflow) is policy,
        "variant": policy.variant,
        "description": policy.description,
        "file": policy.place,
        "hash": policy.digest,
        "rules": [rule.name for rule in policy.rules],
        "numbers": dict(policy.numbers),
    }


def _counts(row: dict[str, Any]) -> str:
    return "yes" if row["counts"] else "variant" if row["variant"] else "no"


def hold_against_tables(files: list[Path], *, as_json: bool) -> int:
    """Print what is not as expected; 1 if anything is."""
    settings = load_settings()
    rulebook = load_rulebook(settings)
    folder = settings.config_dir / "policies" / "tests"
    chosen = files or sorted(folder.glob("*.yaml"))
    if not chosen:
        raise ConfigurationError(f"there are no tables in {folder}; docs/policies.md says how one is written")
    checked = [one for path in chosen for one in check_expectations(path, rulebook)]
    failed = [one for one in checked if one.differences]
    if as_json:
        print_json({"cases": checked, "failed": len(failed)})
        return 1 if failed else 0
    for one in failed:
        for difference in one.differences:
            out().print(
                f"{printable(one.place)}: {printable(one.policy)}: {printable(one.name)}: {printable(difference)}", markup=False
            )
    colour = "red" if failed else "green"
    say((f"{len(checked) - len(failed)} of {len(checked)} requests are planned as expected", colour))
    return 1 if failed else 0
