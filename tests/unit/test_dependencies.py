"""Dependencies: the Dapr extensions come as extras of `dapr`, and README's table says what pyproject does."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def plain(requirement: str) -> str:
    """`dapr[grpc,workflow]>=1.19` → `dapr[grpc,workflow]`."""
    found = re.match(r"[A-Za-z0-9._-]+(\[[^]]*\])?", requirement)
    assert found
    return found[0]


def requirements() -> set[str]:
    return {plain(text) for group in (PROJECT["dependencies"], *EXTRAS.values()) for text in group}


def table() -> list[list[str]]:
    """The rows of README's table: package, requirement, import, where used."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^\| package \| requirement \| import \| where used \|\n\|[-|]+\|\n((?:\|.+\|\n)+)", text, re.MULTILINE)
    assert found, "README.md has no table `package | requirement | import | where used`"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROWS = table()


@pytest.mark.parametrize("module", ["dapr.clients", "dapr.ext.grpc", "dapr.ext.workflow"])
def test_the_dapr_modules_come_with_the_one_distribution(module: str) -> None:
    imported = importlib.import_module(module)
    package = importlib.metadata.distribution("dapr").locate_file("dapr")
    assert Path(imported.__file__ or "").is_relative_to(str(package))


def test_no_legacy_dapr_distribution_is_installed() -> None:
    """They end at 1.18.3, install the same modules, and whichever came last would win."""
    installed = {(found.name or "").lower().replace("_", "-") for found in importlib.metadata.distributions()}
    legacy = {name for name in installed if name.startswith("dapr-")}
    assert not legacy, f"uninstall {', '.join(sorted(legacy))}: since 1.19 they are extras of dapr"


def test_pyproject_names_no_legacy_distribution_and_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    before = text[: text.index('"dapr[grpc,workflow]>=1.19')].splitlines()[-4:]
    assert any("dapr-ext-grpc" in line and line.strip().startswith("#") for line in before)
    assert not [name for name in requirements() if name.startswith("dapr-")]
    assert "dapr-ext-" not in (ROOT / "uv.lock").read_text(encoding="utf-8")


def test_what_the_project_stands_on_is_a_direct_dependency() -> None:
    direct = {plain(text) for text in PROJECT["dependencies"]}
    assert direct >= {"dapr[grpc,workflow]", "cloudevents", "pydantic"}
    assert "pytest" in {plain(text) for text in EXTRAS["dev"]}
    assert {"local", "kafka", "dev"} <= EXTRAS.keys()


def test_every_requirement_has_a_lower_bound_and_every_direct_one_an_upper() -> None:
    typing_only = {text for text in EXTRAS["dev"] if text.startswith("types-")}
    everything = {text for group in (PROJECT["dependencies"], *EXTRAS.values()) for text in group} - typing_only
    assert not [text for text in everything if ">=" not in text and "==" not in text]
    assert not [text for text in PROJECT["dependencies"] if "<" not in text]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_of_the_readme_is_true(row: list[str]) -> None:
    _, requirement, modules, places = row
    assert set(quoted(requirement)) <= requirements()
    assert quoted(places)
    for module in quoted(modules):
        importlib.import_module(module)
    for place in quoted(places):
        path = ROOT / place
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        assert any(
            re.search(rf"^\s*(import|from) {re.escape(module)}\b", file.read_text(encoding="utf-8"), re.MULTILINE)
            for file in files
            for module in quoted(modules)
        ), f"{place} imports none of {modules}"


def test_the_readme_names_what_the_project_stands_on() -> None:
    named = {name for row in ROWS for name in quoted(row[1])}
    assert named >= {"dapr[grpc,workflow]", "cloudevents", "pydantic", "pytest"}
    assert {"dapr.ext.grpc", "dapr.ext.workflow"} <= {name for row in ROWS for name in quoted(row[2])}
