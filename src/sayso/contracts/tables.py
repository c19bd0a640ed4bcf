"""Tables by name: the rows that ship stand in the code, and an extension adds its own before anything reads them.

In: literal rows. Out: a read-only mapping with one door, `add`. Invariant: no row is ever replaced or taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

Row = TypeVar("Row")


class Table(Mapping[str, Row]):
    """A literal table that can grow while a process starts."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = dict(rows)

    def __getitem__(self, name: str) -> Row:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def taken(self, rows: Mapping[str, Row]) -> list[str]:
        """The names among these that mean something else here already."""
        return [name for name, row in rows.items() if name in self._rows and self._rows[name] is not row]

    def add(self, rows: Mapping[str, Row]) -> None:
        """Add rows; the same ones again change nothing. Ask `taken` first: a name that is taken is a mistake of the caller."""
        assert not self.taken(rows)
        self._rows.update(rows)
