"""The tidy test: layout, sizes, names, pure workflows, no endless waiting, and nothing undocumented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from typer import Typer
from typer.core import TyperGroup
from typer.main import get_command

from sayso.cli.main import app
from sayso.contracts.catalog import EVENT_TYPES, WORKFLOWS
from sayso.ledger.alerts import ALERTS
from sayso.settings import OTHER_VARIABLES, setting_places, variable_of

ROOT = Path(__file__).parents[2]
TOP_LEVEL = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "uv.lock",
    "Dockerfile",
    "dapr.yaml",
    "docker-compose.yml",
    ".ci/run",
    "components",
    "config",
    "docs",
    "docs/adr",
    "examples",
    "src",
    "subscribers",
    "worker",
    "gateway",
    "tests",
    "benchmarks",
)
SOURCES = ("src", "subscribers", "worker", "gateway", "examples", "benchmarks", "tests", "scripts")

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
LONG_FOR_A_REASON = {"src/sayso/ledger/migrations/versions"}
"""A migration is generated, and one list of tables from its beginning to its end."""

NOT_VAGUE = {"process_bind_param", "process_table", "process_event"}
"""Names of SQLAlchemy and of the workflow SDK, and a table of processes."""
VAGUE_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|manager|misc)(_|$)|^(handle|process)_")
IMPURE = {"os", "random", "time", "uuid", "secrets", "socket", "threading", "subprocess", "asyncio", "pathlib", "io", "sqlalchemy"}
IMPURE_CALLS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "open", "print", "input"}


@cache
def modules() -> tuple[tuple[str, str, ast.Module], ...]:
    """Every Python file of ours: its place, text and tree."""
    files = sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    texts = ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files)
    return tuple((place, text, ast.parse(text)) for place, text in texts)


def below(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for place, _, tree in modules():
        if place.startswith(folders):
            yield place, tree


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


# Layout, sizes, names.


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_what_belongs_at_the_top_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_no_module_is_longer_than_it_may_be() -> None:
    long = {place: text.count("\n") for place, text, _ in modules() if text.count("\n") > MODULE_LINES_MAX}
    assert not {place for place in long if not place.startswith(tuple(LONG_FOR_A_REASON))}, long


def test_the_median_module_is_small() -> None:
    lines = sorted(text.count("\n") for place, text, _ in modules() if place.startswith(("src", "subscribers", "worker", "gateway")))
    assert lines[len(lines) // 2] <= 150


def test_no_function_is_longer_than_it_may_be() -> None:
    long = [
        f"{place}:{function.lineno} {function.name}"
        for place, _, tree in modules()
        if not place.startswith(tuple(LONG_FOR_A_REASON))
        for function in functions(tree)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


def test_no_exception_is_without_use() -> None:
    assert all((ROOT / place).exists() for place in LONG_FOR_A_REASON)


def test_no_name_says_nothing() -> None:
    vague = [place for place, _, _ in modules() for part in Path(place).with_suffix("").parts if VAGUE_NAMES.search(part)]
    assert not vague
    assert not [
        f"{place}:{function.lineno} {function.name}"
        for place, tree in below("src", "subscribers", "worker", "gateway")
        for function in functions(tree)
        if VAGUE_NAMES.search(function.name) and function.name not in NOT_VAGUE
    ]


def test_every_module_says_what_it_is() -> None:
    silent = [place for place, tree in below("src", "subscribers", "worker", "gateway") if tree.body and not ast.get_docstring(tree)]
    assert not silent


# Waiting and looping.


def test_no_test_sleeps_blindly() -> None:
    """A pause stands inside a loop that has a deadline, or is the pace of a sender and called so."""
    blind = []
    for place, tree in below("tests"):
        polling = {
            pause
            for function in functions(tree)
            for loop in ast.walk(function)
            if isinstance(loop, ast.While) and re.search(r"monotonic|timeout|deadline", ast.unparse(function))
            for _, pause in calls(loop)
        }
        pauses = [call for name, call in calls(tree) if name.endswith("sleep") and "PAUSE" not in ast.unparse(call)]
        blind += [f"{place}:{call.lineno}" for call in pauses if call not in polling]
    assert not blind


def test_no_property_test_asserts_on_time() -> None:
    """The one profile of tests/conftest.py rules; no test sets its own deadline."""
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
    own = [f"{place}:{call.lineno}" for place, tree in below("tests") for name, call in calls(tree) if name == "settings"]
    assert not own


def test_no_test_is_skipped() -> None:
    """Only for another operating system. The pattern is written so that it does not find itself."""
    marks = re.compile(r"mark[.](skip|xfail)\b|pytest[.](skip|xfail|importorskip)\(|skipif\((?!sys[.]platform)")
    assert not [place for place, text, _ in modules() if place.startswith("tests") and marks.search(text)]


def test_no_process_loops_for_ever() -> None:
    endless = [
        f"{place}:{node.lineno}"
        for place, tree in below("worker", "subscribers", "gateway")
        for node in ast.walk(tree)
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
    ]
    assert not endless


def test_workflows_wait_for_events_in_the_mailbox_alone_and_always_with_its_timer() -> None:
    waits = [
        (place, name, call)
        for place, tree in below("worker/sayso_worker")
        for name, call in calls(tree)
        if name.rpartition(".")[2] in ("wait_for_external_event", "when_any", "create_timer")
    ]
    activities_alone = "worker/sayso_worker/workflows/fan_out.py"  # which end by their retries: the next test
    assert {(place, name) for place, name, _ in waits if place == activities_alone} == {(activities_alone, "when_any")}
    waits = [wait for wait in waits if wait[0] != activities_alone]
    assert {place for place, _, _ in waits} == {"worker/sayso_worker/workflows/mailbox.py"}
    races = [call for _, name, call in waits if name == "when_any"]
    assert races
    assert all("_timer" in ast.unparse(call) for call in races)


def test_an_activity_is_called_with_retries_and_never_waits_without_a_limit() -> None:
    found = [
        (place, call) for place, tree in below("worker/sayso_worker") for name, call in calls(tree) if name.endswith("call_activity")
    ]
    assert found
    assert not [f"{place}:{call.lineno}" for place, call in found if "retry_policy" not in {word.arg for word in call.keywords}]
    untimed = [
        f"{place}:{call.lineno}"
        for place, tree in below("worker/sayso_worker/activities")
        for name, call in calls(tree)
        if name.rpartition(".")[2] in ("wait", "join", "result", "acquire") and not call.args and not call.keywords
    ]
    assert not untimed


def test_workflows_are_pure() -> None:
    impure = []
    for place, tree in below("worker/sayso_worker/workflows"):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            impure += [f"{place}:{node.lineno} imports {name}" for name in names if name.partition(".")[0] in IMPURE]
        impure += [f"{place}:{call.lineno} calls {name}" for name, call in calls(tree) if name in IMPURE_CALLS]
    assert not impure


# Documentation.


def commands(group: TyperGroup, prefix: str = "sayso") -> Iterator[tuple[str, list[str]]]:
    """Each command as one types it, with its options."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix} {name}")
        else:
            options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
            yield f"{prefix} {name}", [option for option in options if option != "--help"]


def all_commands(root: Typer) -> list[tuple[str, list[str]]]:
    group = get_command(root)
    assert isinstance(group, TyperGroup)
    return list(commands(group))


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_command_and_option_is_documented() -> None:
    text = page("cli.md")
    words = [word for command, options in all_commands(app) for word in (command, *options)]
    assert not [word for word in words if word not in text]


def test_every_setting_is_documented() -> None:
    text = page("settings.md")
    names = [variable_of(place) for place in setting_places()] + [variable_of((name,)) for name in OTHER_VARIABLES]
    assert not [name for name in names if f"`{name}`" not in text]


def test_every_event_type_and_topic_is_documented() -> None:
    text = page("events.md")
    assert not [name for name in EVENT_TYPES if f"### {name}" not in text]
    assert not [kind.topic for kind in EVENT_TYPES.values() if f"`{kind.topic}`" not in text]


def test_every_workflow_its_fields_and_events_are_documented() -> None:
    text = page("bindings.md").partition("## What workflows take")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+)$", text, re.MULTILINE))
    assert rows.keys() == WORKFLOWS.keys()
    for name, contract in WORKFLOWS.items():
        for field, described in contract.request.model_fields.items():
            assert (f"**`{field}`**" if described.is_required() else f" `{field}`") in rows[name], f"{name}: {field}"
        assert not [event for event in contract.events if f"`{event}`" not in rows[name]]


def test_links_between_our_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    links = [(path, link) for path in pages for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))]
    assert not [f"{path.name}: {link}" for path, link in links if "://" not in link and not (path.parent / link).exists()]


def test_every_case_names_tests_that_exist() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", page("cases.md"), flags=re.MULTILINE))
    assert set(map(int, rows)) == {*range(1, 48), 49, 50, 51, 58, *range(60, 72)}
    named = {number: re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row) for number, row in rows.items()}
    assert all(named.values()), named
    known = {(place, function.name) for place, tree in below("tests") for function in functions(tree)}
    assert not [f"{number}: {one}" for number, tests in named.items() for one in tests if one not in known]


@pytest.mark.parametrize("name", ["seeds.md", "policies.md", "approvals.md"])
def test_every_test_that_a_table_of_rules_or_facts_names_exists(name: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page(name))
    assert len(named) > 30
    tests = {(place, function.name) for place, tree in below("tests") for function in functions(tree)}
    assert not [f"{place}::{name}" for place, name in named if (place, name) not in tests]


def test_every_alert_is_documented_for_who_is_woken_by_it() -> None:
    text = page("operations.md")
    assert not [kind for kind in ALERTS if f"| `{kind}` |" not in text]


def test_every_metric_is_documented() -> None:
    text = page("operations.md")
    names = [name for place, source, _ in modules() if place.endswith("metrics.py") for name in re.findall(r'"(sayso_\w+)"', source)]
    assert len(names) > 8
    assert not [name for name in names if name not in text]
