"""Which pairs of broker and ledger there are, and a stack of its own on one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from running_system import RunningSystem

from sayso.stack.state import Broker, LedgerKind
from sayso.testing.stack import running_stack

Pair = tuple[Broker, LedgerKind]
MAIN_PAIRS: tuple[Pair, ...] = (("valkey", "sqlite"), ("kafka", "postgresql"))
OTHER_PAIRS: tuple[Pair, ...] = (("valkey", "postgresql"), ("kafka", "sqlite"))


def name_of(pair: Pair) -> str:
    return "+".join(pair)


@contextmanager
def system_on(pair: Pair, factory: pytest.TempPathFactory, **settings: str) -> Iterator[RunningSystem]:
    """A stack of its own on this pair, with these `SAYSO_…` settings."""
    broker, ledger = pair
    overrides: Mapping[str, str] = settings
    with running_stack(factory.mktemp("stack"), broker=broker, ledger=ledger, env_overrides=overrides) as stack:
        system = RunningSystem(stack)
        try:
            yield system
        finally:
            system.close()
