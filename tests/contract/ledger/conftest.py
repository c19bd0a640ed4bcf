"""The world of a ledger test."""

from __future__ import annotations

import pytest
from ledger_world import World

from sayso.ledger import Ledger


@pytest.fixture
def world(ledger: Ledger) -> World:
    return World(ledger)
