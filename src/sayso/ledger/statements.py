"""The few statements that SQLite and PostgreSQL spell differently, and the habit of building statements once.

Building a statement costs several times as much as running it. So statements of the hot path take their values as `bindparam`s
and are made by a function of the dialect under `functools.cache`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Update, any_, bindparam, func, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.operators import custom_op


def upsert(dialect: str, table: Table) -> Any:
    """An INSERT that can say `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def locked(dialect: str, query: Select[Any], *, skip_locked: bool = False) -> Select[Any]:
    """`FOR UPDATE` on PostgreSQL; on SQLite the writing transaction already excludes every other writer."""
    return query if dialect == "sqlite" else query.with_for_update(skip_locked=skip_locked)


def by_due_index(dialect: str, seq: ColumnElement[Any]) -> ColumnElement[Any]:
    """What to order due rows by so that SQLite looks at these only.

    Without statistics it takes the order by primary key for free, reads the whole table in it, and so ever more of what is done.
    PostgreSQL has statistics.
    """
    return seq + 0 if dialect == "sqlite" else seq


def beside_case(dialect: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The state of an event in a query that names its case: the events of a case are few, and have an index.

    Without statistics SQLite takes the index on the state for as good, and reads every event of all cases that is in that state. A
    column with a sign in front has no index. PostgreSQL has statistics.
    """
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type) if dialect == "sqlite" else column


def fixed(word: str) -> ColumnElement[str]:
    """One of our own words (a state, a phase) as part of a statement's text.

    SQLite plans a statement anew, each time that it runs, when a bound value is compared with what a partial index is about: that
    costs ten times what the statement does.
    """
    assert word.isidentifier(), word
    return literal_column(f"'{word}'")


def one_of(dialect: str, column: ColumnElement[Any], query: Any) -> ColumnElement[bool]:
    """Whether the column is among the query's rows. PostgreSQL's planner may run an `IN (SELECT … LIMIT …)` once a row, and so take
    more than the limit; an array is made once.
    """
    rows = query.scalar_subquery()
    return column == any_(func.array(rows)) if dialect == "postgresql" else column.in_(rows)


def lease(dialect: str, table: Table, *, identify_by: ColumnElement[Any], order_by: ColumnElement[Any]) -> Update:
    """An UPDATE that takes up to `max_rows` rows due at `now_ms` until `until_ms`; add `.returning(…)`.

    Two dispatchers never get the same row.
    """
    due = select(identify_by).where(table.c.due_at_ms <= bindparam("now_ms")).order_by(order_by).limit(bindparam("max_rows"))
    chosen = one_of(dialect, identify_by, locked(dialect, due, skip_locked=True))
    return update(table).where(chosen).values(due_at_ms=bindparam("until_ms"), attempts=table.c.attempts + 1)
