"""A ledger of the first version, with cases in flight, is migrated and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from ledger_world import World
from sqlalchemy import MetaData, Table, text

import sayso.ledger
from sayso.ledger import Ledger, open_ledger
from sayso.ledger.schema import cases, events

INSTANCE = "purchase_order-PO-1-1-abcdef"
REQUEST = {"order_id": "PO-1", "cost": "1200", "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
CASE = {"workflow": "purchase_order_workflow", "key": "PO-1", "generation": 1, "instance_id": INSTANCE}
INPUT = {"case": {**CASE, "opened_at": "2026-01-05T09:00:00Z"}, "request": REQUEST, "plan": {"approval_timeout_seconds": 86400.0}}


@pytest.fixture(params=["sqlite", "postgresql"])
def first_version(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger as the first release made it, in which an order waits for its approval."""
    url: str = f"sqlite:///{tmp_path}/old.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    ledger = Ledger(url)
    if request.param == "postgresql":
        with ledger.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    config = Config()
    config.set_main_option("script_location", str(Path(sayso.ledger.__file__).parent / "migrations"))
    config.attributes["engine"] = ledger.engine
    command.upgrade(config, "0001")
    with ledger.engine.begin() as connection:
        for name, row in _rows().items():
            connection.execute(Table(name, MetaData(), autoload_with=connection).insert(), row)
    ledger.close()
    return url


def _rows() -> dict[str, dict[str, Any]]:
    at = {"updated_at_ms": 1, "attempts": 0}
    event = {"topic": "purchases", "digest": "d", "original": b"{}", "identity": "i", "state": "started", "instance_id": INSTANCE}
    return {
        "events": {**event, "seq": 1, "received_at_ms": 1, "last_seen_at_ms": 1, "sightings": 1, **at},
        "case_keys": {"workflow": CASE["workflow"], "key": "PO-1", "generations": 1},
        "cases": {
            **CASE,
            "phase": "running",
            "stage": "waits for approval",
            "input": json.dumps(INPUT),
            "opened_by": 1,
            "opened_at_ms": 1,
            **at,
        },
    }


def test_a_case_in_flight_is_there_after_the_migration_and_takes_its_events(first_version: str) -> None:
    ledger = open_ledger(first_version)
    try:
        world = World(ledger)
        (case,) = world.rows(cases)
        assert (case.instance_id, case.phase, case.suspended_at_ms, case.rerun_of) == (INSTANCE, "running", None, None)
        assert case.check_at_ms is not None
        world.decide()
        assert [(row.state, row.instance_id) for row in world.rows(events)][1:] == [("delivering", INSTANCE)]
    finally:
        ledger.close()
