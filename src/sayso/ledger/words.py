"""The type of every text column: what others wrote, storable in both databases.

In: any Python text. Out: the same text, except that NUL becomes its picture U+2400 and an unpaired surrogate U+FFFD: PostgreSQL takes
neither, and a refusal would be tried again for ever. Events with such text are rejected; this is for what comes past the topics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator


class Words(TypeDecorator[str]):
    """TEXT for any words."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """See above."""
        del dialect
        stored: str | None = _storable(value)
        return stored

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """The same without SQLAlchemy's layers: the drivers take text as it is."""
        del dialect
        return _storable


def _storable(value: Any) -> Any:
    if value is None or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\u2400").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
