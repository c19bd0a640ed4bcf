"""A dispatcher on a real ledger, with the engine and the broker that a suite is run against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from office import Office, memory_engine

from sayso.ledger import Ledger


@pytest.fixture(params=[memory_engine], ids=["memory"])
def office(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Office]:
    """Whatever makes an engine for a ledger can be added to the parameters: the suite uses the port, and `advance`."""
    opened = Office(ledger, request.param)
    yield opened
    opened.close()
