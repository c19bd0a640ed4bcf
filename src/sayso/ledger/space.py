"""How much room a ledger takes, and giving back what it no longer needs.

In: a ledger. Out: bytes. What pruning frees is used again by the ledger itself at once; only `give_back` makes it smaller for others.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from sayso.ledger.database import Ledger
from sayso.ledger.schema import metadata


@dataclass(frozen=True)
class Space:
    """Bytes of the whole ledger, and those of it that wait for new rows; PostgreSQL does not tell the latter."""

    total_bytes: int
    free_bytes: int | None


def space_of(ledger: Ledger) -> Space:
    """As the database tells it."""
    with ledger.engine.connect() as connection:
        if ledger.dialect == "sqlite":
            page = _number(connection, "PRAGMA page_size")
            return Space(page * _number(connection, "PRAGMA page_count"), page * _number(connection, "PRAGMA freelist_count"))
        return Space(_number(connection, "SELECT pg_database_size(current_database())"), None)


def give_back(ledger: Ledger) -> None:
    """Write the ledger anew without its holes. Writers wait meanwhile, the SQLite file needs as much room once more."""
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if ledger.dialect == "sqlite":
            connection.execute(text("VACUUM"))
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            return
        for table in metadata.sorted_tables:
            connection.execute(text(f'VACUUM (FULL, ANALYZE) "{table.name}"'))


def _number(connection: Connection, query: str) -> int:
    return int(connection.execute(text(query)).scalar_one())
