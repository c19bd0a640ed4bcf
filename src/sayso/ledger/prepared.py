"""Prepared statements: what runs often goes to SQLite's driver directly, as text and values.

In: a statement built once (ledger/statements.py) and the names of its values. Out: the same text and the same values as SQLAlchemy
would send, or None when there is more to it; then SQLAlchemy runs it. Its own execution costs several times what the database does.
"""

from __future__ import annotations

import keyword
import re
from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import cache
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Executable, Select, UpdateBase
from sqlalchemy.sql.compiler import SQLCompiler

_LIST = re.compile(r"__\[POSTCOMPILE_(\w+)\]")
_known: WeakKeyDictionary[Executable, dict[tuple[str, ...], Prepared | None]] = WeakKeyDictionary()
_preparing = Lock()
Process = Callable[[Any], Any]


class Prepared:
    """One statement for one set of value names. A list becomes as many placeholders as it has elements."""

    def __init__(self, compiled: SQLCompiler, names: tuple[str, ...], results: tuple[Process | None, ...] | None) -> None:
        self._parts: tuple[str, ...] = tuple(_LIST.split(compiled.string))  # text, name of a list, text, …
        self._constants: dict[str, Any] = {}
        self._lists = frozenset(self._parts[1::2])
        self._slots: list[tuple[str, Process | None]] = []
        self.returns_rows = results is not None
        self._results = tuple((index, process) for index, process in enumerate(results or ()) if process is not None)
        self._texts: dict[tuple[int, ...], str] = {}
        self._make: Any = None
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            self._slots.append((name, bind.type.dialect_impl(compiled.dialect).bind_processor(compiled.dialect)))
            if name not in names:
                self._constants[name] = bind.effective_value

    def run(self, driver: Any, values: Mapping[str, Any]) -> Any:
        """The driver's cursor."""
        values = {**self._constants, **values} if self._constants else values
        if not self._lists:
            return driver.execute(
                self._parts[0], [values[name] if process is None else process(values[name]) for name, process in self._slots]
            )
        arguments: list[Any] = []
        for name, process in self._slots:
            value = values[name]
            if name in self._lists:
                arguments += value if process is None else [process(element) for element in value]
            else:
                arguments.append(value if process is None else process(value))
        return driver.execute(self._text(values), arguments)

    def rows(self, cursor: Any, found: list[Any]) -> list[Any]:
        """What the driver gave, with names."""
        if self._make is None:
            self._make = _row_of(tuple(column[0] for column in cursor.description))._make
        make = self._make
        if not self._results:
            return [make(row) for row in found]
        rows = [list(row) for row in found]
        for row in rows:
            for index, process in self._results:
                row[index] = process(row[index])
        return [make(row) for row in rows]

    def _text(self, values: Mapping[str, Any]) -> str:
        lengths = tuple(len(values[name]) for name in self._parts[1::2])
        text = self._texts.get(lengths)
        if text is None:
            marks = [", ".join("?" * length) for length in lengths]
            text = "".join(part + mark for part, mark in zip(self._parts[::2], [*marks, ""], strict=True))
            self._texts[lengths] = text
        return text

    def takes(self, values: Mapping[str, Any]) -> bool:
        """SQLAlchemy has another text for an empty list."""
        return not self._lists or all(values.get(name, True) for name in self._lists)


def prepared(statement: Executable, values: Mapping[str, Any], dialect: Dialect) -> Prepared | None:
    """The statement prepared for these names, from its second execution on: one that is built anew for each is not worth it."""
    if not isinstance(values, dict):
        return None
    names = tuple(values)
    kinds = _known.get(statement)
    if kinds is None:
        _known[statement] = {}
        return None
    if names not in kinds:
        with _preparing:
            kinds[names] = _prepare(statement, names, dialect)
    found = kinds[names]
    return found if found is not None and found.takes(values) else None


def _prepare(statement: Any, names: tuple[str, ...], dialect: Dialect) -> Prepared | None:
    if not isinstance(statement, Select | UpdateBase):
        return None
    compiled = statement.compile(dialect=dialect, column_keys=sorted(names))
    if not isinstance(compiled, SQLCompiler) or compiled.positiontup is None:
        return None
    binds = {name: compiled.binds[name] for name in compiled.positiontup}
    absent = [name for name, bind in binds.items() if name not in names and bind.required]
    lists = set(_LIST.findall(compiled.string))
    more = (
        compiled.literal_execute_params
        or compiled.escaped_bind_names
        or compiled.insert_prefetch
        or compiled.update_prefetch
        or lists != {name for name, bind in binds.items() if bind.expanding}
        or any(not binds[name].effective_value for name in lists if name not in names)
    )
    if absent or more:
        return None
    columns = list(statement.exported_columns)
    if not _can_be_named([str(column.key) for column in columns]):
        return None
    return Prepared(compiled, names, tuple(_result_process(column, dialect) for column in columns) or None)


def _can_be_named(names: list[str]) -> bool:
    return len(set(names)) == len(names) and not any(name.startswith("_") or keyword.iskeyword(name) for name in names)


def _result_process(column: Any, dialect: Dialect) -> Process | None:
    process: Process | None = column.type.dialect_impl(dialect).result_processor(dialect, None)
    return process


@cache
def _row_of(names: tuple[str, ...]) -> Any:
    """The class of such rows: by name, by place, and `_mapping`, as SQLAlchemy's have it."""
    row: Any = namedtuple("Row", names)  # type: ignore[misc] # noqa: PYI024 - its fields are known only now
    return type("Row", (row,), {"__slots__": (), "_mapping": property(row._asdict)})
