"""docs/policies.md: its examples load, its table names tests that exist, and no field of a policy is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml
from policy_desk import CONFIG
from pydantic import BaseModel

from sayso.directory import load_directory
from sayso.policy import calendars, expectations, written
from sayso.policy.calendars import load_calendars
from sayso.policy.expectations import check_expectations
from sayso.policy.loading import load_policy
from sayso.policy.rulebook import load_rulebook
from sayso.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_policy_loads(tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(EXAMPLES[0], encoding="utf-8")
    directory = load_directory(CONFIG / "directory.yaml")
    policy = load_policy(path, Settings(), directory, load_calendars(CONFIG / "calendars.yaml"))
    assert [rule.name for rule in policy.rules] == ["petty-cash", "large", "otherwise"]


def test_the_example_table_holds(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(EXAMPLES[2], encoding="utf-8")
    checked = check_expectations(path, load_rulebook(Settings(config_dir=CONFIG)))
    assert [one.differences for one in checked] == [(), ()]


def test_the_example_numbers_are_those_of_a_shipped_policy() -> None:
    shipped = yaml.safe_load((CONFIG / "policies/purchase_order_workflow.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(EXAMPLES[1])["numbers"] == shipped["numbers"]


def test_every_field_of_a_policy_a_calendar_and_a_table_is_documented() -> None:
    models = [
        kind
        for module in (written, calendars, expectations)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.__name__
    ]
    fields = {field.alias or name for kind in models for name, field in kind.model_fields.items()} - {"kind"}
    assert not [name for name in sorted(fields) if not re.search(rf"\b{name}\b", PAGE)]


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    for place, name in named:
        tree = ast.parse((ROOT / place).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, name
