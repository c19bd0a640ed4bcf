"""On SQLite the lanes look at what is due through its index: a ledger that has much behind it is not read from its start."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite

import sayso.ledger.outbox
import sayso.ledger.routing
from sayso.ledger.schema import metadata, notices, outbox

LOOKS: dict[str, Any] = {
    "ix_events_due": sayso.ledger.routing._due_events("sqlite"),
    "ix_outbox_due": sayso.ledger.outbox._lease("sqlite", outbox, ("seq",)),
    "ix_notices_due": sayso.ledger.outbox._lease("sqlite", notices, ("seq",)),
}


@pytest.mark.parametrize("index", LOOKS)
def test_what_is_due_is_found_by_its_index(index: str) -> None:
    text = str(LOOKS[index].compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (1,) * text.count("?")).all()
    engine.dispose()
    steps = [row[-1] for row in plan]
    assert any(index in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps
