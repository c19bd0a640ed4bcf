"""A used PostgreSQL ledger put back to what it was when it was new: fifty times cheaper than another database.

In: connections to a new ledger's database and to a used copy of it. Invariant: after `put_back` said True, rows, sequences and schema
are those of the new one and nobody else is connected; a copy whose schema was changed, or which has grown, is not put back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg import sql

LEAVE_MS = 10_000
"""How long a server process may take to end once it is told to."""

GROWTH_BYTES = 8 << 20
"""What deleted rows leave behind: so much more than the new one is too much."""

_SCHEMA = """
SELECT coalesce(md5(string_agg(line, ' ' ORDER BY line)), '') FROM (
    SELECT 'class ' || oid || ' ' || xmin FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'attribute ' || attrelid || ' ' || attnum || ' ' || a.xmin FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'constraint ' || oid || ' ' || xmin FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'function ' || oid || ' ' || xmin FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger ' || oid || ' ' || xmin FROM pg_trigger
    UNION ALL SELECT 'namespace ' || oid || ' ' || xmin FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT 'setting ' || setdatabase || ' ' || xmin FROM pg_db_role_setting
) AS lines (line)
"""
"""Which transaction wrote each line of the catalogue: a copy has the same, until somebody changes its schema."""

_NUMBERS_BEGIN_AGAIN = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences WHERE schemaname = 'public'
"""
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True)
class Pristine:
    """What a new ledger holds."""

    schema: str
    size_bytes: int
    rows: dict[str, bytes]
    """Each table, as COPY writes it."""

    @classmethod
    def of(cls, connection: psycopg.Connection[Any]) -> Self:
        """Look at a new ledger."""
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        tables = [str(row[0]) for row in connection.execute(query).fetchall()]
        return cls(_schema_of(connection), _size_of(connection), {table: _written(connection, table) for table in tables})

    def put_back(self, connection: psycopg.Connection[Any]) -> bool:
        """Make a used copy new again; False when it has to be thrown away."""
        if not all(ended for (ended,) in connection.execute(_END_OTHERS, [LEAVE_MS]).fetchall()):
            return False
        if _schema_of(connection) != self.schema or _size_of(connection) > self.size_bytes + GROWTH_BYTES:
            return False
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")  # no order among tables that refer to each other
            connection.execute(sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table in self.rows))
            for table, rows in self.rows.items():
                _write(connection, table, rows)
            connection.execute(_NUMBERS_BEGIN_AGAIN)
        return True


def _schema_of(connection: psycopg.Connection[Any]) -> str:
    (found,) = connection.execute(_SCHEMA).fetchone() or ("",)
    return str(found)


def _size_of(connection: psycopg.Connection[Any]) -> int:
    (found,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    return int(found)


def _written(connection: psycopg.Connection[Any], table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as lines:
        return b"".join(bytes(line) for line in lines)


def _write(connection: psycopg.Connection[Any], table: str, rows: bytes) -> None:
    if rows:
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as lines:
            lines.write(rows)
