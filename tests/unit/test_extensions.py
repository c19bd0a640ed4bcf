"""Extensions: what is added is known everywhere, what is wrong is said with file and line, and nothing that ships is replaced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from sayso.contracts.catalog import EVENT_TYPES, WORKFLOWS
from sayso.correlation.bindings import load_bindings
from sayso.errors import ConfigurationError
from sayso.extensions import load_extensions
from sayso.policy import POLICIES
from sayso_worker import registry
from sayso_worker.own import add_own

TABLES = (EVENT_TYPES, WORKFLOWS, POLICIES, registry.WORKFLOWS, registry.STEPS, registry.FORMER)
numbers = count(1)

CONTRACT = """
from sayso.contracts.catalog import EventType, WorkflowContract
from sayso.contracts.payload import Key, Payload
from sayso.contracts.workflow_io import Plan
from sayso.extensions import Extension
from sayso.policy import WorkflowPolicy, asks_nobody

class Thing(Payload):
    thing_id: Key

POLICY = WorkflowPolicy(lambda settings: Plan(), asks_nobody, lambda request: "a thing")
EXTENSION = Extension(
    event_types={"com.acme.thing.made.v1": EventType(Thing, "things", "in")},
    workflows={"make_thing": WorkflowContract(Thing, {}, key_field="thing_id")},
    policies={"make_thing": POLICY},
    worker="WORKER",
)
"""
WORKER = """
WORKFLOWS = {"make_thing": lambda ctx, raw: None}
STEPS = {"paint_thing": lambda partners, step: {}}
"""
BINDINGS = """\
bindings:
  - name: thing-made
    topic: things
    type: com.acme.thing.made.v1
    key: event.data.thing_id
    start: make_thing
"""
Write = Callable[..., tuple[Path, str]]


@pytest.fixture(autouse=True)
def _tables_as_shipped() -> Iterator[None]:
    shipped = [dict(table._rows) for table in TABLES]
    yield
    for table, rows in zip(TABLES, shipped, strict=True):
        table._rows = rows


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write an extension of a fresh name into a configuration folder; gives the folder and the name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def one(contract: str = CONTRACT, worker: str = WORKER) -> tuple[Path, str]:
        name = f"own_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(contract.replace("WORKER", f"{name}_worker"))
        (tmp_path / f"{name}_worker.py").write_text(worker)
        (tmp_path / "extensions.yaml").write_text(f"# ours\nextensions:\n  - {name}\n")
        return tmp_path, name

    return one


def complaint(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        add_own(load_extensions(folder))
    message = str(caught.value)
    assert message.startswith(f"{folder}/extensions.yaml:3: ")
    return message


def test_without_the_file_there_are_none(tmp_path: Path) -> None:
    assert load_extensions(tmp_path) == []


def test_what_is_added_is_known_to_bindings_and_worker_and_loading_it_again_changes_nothing(write: Write) -> None:
    folder, _ = write()
    for _ in range(2):
        add_own(load_extensions(folder))
    (folder / "bindings.yaml").write_text(BINDINGS)
    (rule,) = load_bindings(folder / "bindings.yaml").rules
    assert rule.does == "start make_thing"
    assert list(registry.versions_of("make_thing")) == ["1"]
    assert "paint_thing" in registry.STEPS


def test_the_subscribers_load_no_workflow(write: Write) -> None:
    folder, name = write()
    load_extensions(folder)
    assert name in sys.modules
    assert f"{name}_worker" not in sys.modules


def test_a_binding_that_names_an_unknown_workflow_is_told_the_nearest(write: Write) -> None:
    folder, _ = write()
    load_extensions(folder)
    (folder / "bindings.yaml").write_text(BINDINGS.replace("start: make_thing", "start: make_thin"))
    with pytest.raises(ConfigurationError, match=r'bindings.yaml:6: no workflow "make_thin"; did you mean "make_thing"\?'):
        load_bindings(folder / "bindings.yaml")


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        ("", "has no EXTENSION = Extension(…)"),
        ("EXTENSION = {}", "has no EXTENSION = Extension(…)"),
        ("import not_there", "cannot be imported: No module named 'not_there'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        (CONTRACT.replace("make_thing", "order_saga"), 'there is a workflow "order_saga" already'),
        (CONTRACT.replace("make_thing", "task_chain"), 'there is a workflow "task_chain" already'),
        (CONTRACT.replace("make_thing", "Make thing"), '"Make thing" is no name of a workflow'),
        (CONTRACT.replace("com.acme.thing.made.v1", "com.acme.order.placed.v1"), 'an event type "com.acme.order.placed.v1" already'),
        (CONTRACT.replace("com.acme.thing.made.v1", "sayso.thing.made.v1"), 'begins with "sayso."'),
        (
            CONTRACT.replace('policies={"make_thing"', 'policies={"make_thin"'),
            'policy for "make_thin", which is none of its workflows',
        ),
        (CONTRACT.replace('policies={"make_thing": POLICY}', "policies={}"), 'its workflow "make_thing" has no policy'),
        (CONTRACT.replace('key_field="thing_id"', 'key_field="thing"'), 'has no field "thing"; did you mean "thing_id"?'),
    ],
)
def test_what_is_wrong_with_a_module_is_said_and_nothing_of_it_is_added(write: Write, contract: str, says: str) -> None:
    folder, _ = write(contract)
    before = [dict(table) for table in TABLES]
    assert says in complaint(folder)
    assert [dict(table) for table in TABLES] == before


@pytest.mark.parametrize(
    ("worker", "says"),
    [
        (WORKER.replace("make_thing", "make_things"), 'has no function for "make_thing" in WORKFLOWS; did you mean "make_things"?'),
        (WORKER + "WORKFLOWS['other'] = None", 'has "other", which'),
        (WORKER.replace("paint_thing", "place_order"), '"place_order" is taken in STEPS already'),
        ("WORKFLOWS = []", "WORKFLOWS is no table of names"),
    ],
)
def test_what_is_wrong_with_its_worker_is_said(write: Write, worker: str, says: str) -> None:
    folder, _ = write(worker=worker)
    assert says in complaint(folder)
    assert "make_thing" not in registry.WORKFLOWS


def test_a_missing_module_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "extensions.yaml").write_text("# ours\nextensions:\n  - acme_leav\n")
    assert 'no module "acme_leav": install it where Sayso runs, or put its folder on PYTHONPATH' in complaint(tmp_path)


def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "extensions.yaml").write_text("extension: [acme_leave]\n")
    with pytest.raises(ConfigurationError, match=r'extensions.yaml:1: unknown field "extension"; did you mean "extensions"'):
        load_extensions(tmp_path)
