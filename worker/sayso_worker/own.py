"""Own workflows: what the worker needs of an extension, its workflow functions and its activities (docs/own-workflow.md).

In: the extensions of the configuration folder. Out: their rows in the registry. Invariant: every workflow that a binding can start is
one that this worker can run, because an instance whose workflow no worker knows fails for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sayso.config_file import did_you_mean
from sayso.contracts.tables import Table
from sayso.extensions import Loaded, import_named
from sayso_worker.registry import FORMER, STEPS, WORKFLOWS


def add_own(extensions: Iterable[Loaded]) -> None:
    """Add the worker's part of each; `ConfigurationError` says what its module lacks."""
    for loaded in extensions:
        _add(loaded)


def _add(loaded: Loaded) -> None:
    name = loaded.extension.worker
    module = import_named(name, loaded.error)
    parts = {table: _part(loaded, getattr(module, table, {}), f"{name}.{table}") for table in ("WORKFLOWS", "STEPS", "FORMER")}
    declared = loaded.extension.workflows
    for missing in declared.keys() - parts["WORKFLOWS"].keys():
        raise loaded.error(f'"{name}" has no function for "{missing}" in WORKFLOWS{did_you_mean(missing, parts["WORKFLOWS"])}')
    for stranger in (parts["WORKFLOWS"].keys() | parts["FORMER"].keys()) - declared.keys():
        raise loaded.error(f'"{name}" has "{stranger}", which "{loaded.name}" does not declare{did_you_mean(stranger, declared)}')
    tables: dict[str, Table[Any]] = {"WORKFLOWS": WORKFLOWS, "STEPS": STEPS, "FORMER": FORMER}
    for kind, table in tables.items():
        for taken in table.taken(parts[kind]):
            raise loaded.error(f'"{name}": "{taken}" is taken in {kind} already; choose another name')
    for kind, table in tables.items():
        table.add(parts[kind])


def _part(loaded: Loaded, rows: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(rows, Mapping):
        raise loaded.error(f"{place} is no table of names")
    return rows
