"""The few statements that SQLite and PostgreSQL spell differently."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Update, select, update
from sqlalchemy.dialects import postgresql, sqlite

from sayso.ledger.database import Transaction


def upsert(tx: Transaction, table: Table) -> Any:
    """An INSERT that can say `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return sqlite.insert(table) if tx.dialect == "sqlite" else postgresql.insert(table)


def locked(tx: Transaction, query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """`FOR UPDATE` on PostgreSQL; on SQLite the writing transaction already excludes every other writer."""
    return query if tx.dialect == "sqlite" else query.with_for_update(skip_locked=skip_locked)


def lease(
    tx: Transaction, table: Table, *, identify_by: ColumnElement[Any], lease_ms: int, limit: int, order_by: ColumnElement[Any]
) -> Update:
    """An UPDATE that takes up to `limit` due rows for `lease_ms`; add `.returning(…)`. Two dispatchers never get the same row."""
    due = select(identify_by).where(table.c.due_at_ms <= tx.now_ms).order_by(order_by).limit(limit)
    chosen = locked(tx, due, skip_locked=True).scalar_subquery()
    return update(table).where(identify_by.in_(chosen)).values(due_at_ms=tx.now_ms + lease_ms, attempts=table.c.attempts + 1)
