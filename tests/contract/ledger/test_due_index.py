"""On SQLite the lanes look at what is due through its index: a ledger that has much behind it is not read from its start."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select, create_engine
from sqlalchemy.dialects import sqlite

import sayso.ledger.closing
import sayso.ledger.driving
import sayso.ledger.outbox
import sayso.ledger.reconciling
import sayso.ledger.rerunning
import sayso.ledger.routing
from sayso.ledger.schema import metadata, notices, outbox

LOOKS: dict[str, Any] = {
    "ix_events_due": sayso.ledger.routing._due_events("sqlite"),
    "ix_outbox_due": sayso.ledger.outbox._lease("sqlite", outbox, ("seq",)),
    "ix_notices_due": sayso.ledger.outbox._lease("sqlite", notices, ("seq",)),
}


OF_A_CASE: dict[str, Any] = {
    "what is to be raised": sayso.ledger.driving._undelivered("sqlite"),
    "whether there is more": sayso.ledger.driving._any_undelivered("sqlite"),
    "what a lost run had used": sayso.ledger.driving._used_behind("sqlite"),
    "what it must have seen": sayso.ledger.reconciling._raised("sqlite"),
    "what is raised again": sayso.ledger.reconciling._of_case("sqlite"),
    "what a rerun takes over": sayso.ledger.rerunning._unclaimed("sqlite"),
    "what it did not use": sayso.ledger.closing._lock_left("sqlite"),
}


@pytest.mark.parametrize("index", LOOKS)
def test_what_is_due_is_found_by_its_index(index: str) -> None:
    steps = plan_of(LOOKS[index])
    assert any(index in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps


@pytest.mark.parametrize("what", OF_A_CASE)
def test_the_events_of_a_case_are_found_by_it_however_many_are_in_the_same_state(what: str) -> None:
    steps = plan_of(OF_A_CASE[what])
    assert all("USING INDEX ix_events_instance" in step for step in steps if "events" in step), steps


def plan_of(statement: Any) -> list[str]:
    binds = statement.compile(dialect=sqlite.dialect()).binds
    wanted = {name: ["x"] if bind.expanding else "x" for name, bind in binds.items() if bind.required}
    given = statement.params(wanted) if isinstance(statement, Select) else statement
    text = str(given.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (1,) * text.count("?")).all()
    engine.dispose()
    return [str(row[-1]) for row in plan]
