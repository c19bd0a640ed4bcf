"""The table at which two connections to one PostgreSQL ledger meet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_world import World
from meetings import Table
from two_connections import TwoConnections

from sayso.ledger import Ledger


@pytest.fixture
def table(postgresql_url: str) -> Iterator[Table]:
    ledger = Ledger(postgresql_url)
    connections = TwoConnections(postgresql_url)
    yield Table(World(ledger), connections)
    connections.close()
    ledger.close()
