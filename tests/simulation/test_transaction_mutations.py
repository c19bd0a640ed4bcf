"""Mutations of locks and transactions are caught where only two real connections tell: on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sayso.simulator.broken_transactions import TRANSACTION_MUTATIONS
from sayso.simulator.catches import CATCHES
from sayso.simulator.run import simulate
from sayso.testing.ledgers import PostgresqlLedgers, postgresql_ledgers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlLedgers]:
    with postgresql_ledgers(tmp_path_factory.mktemp("postgresql")) as ledgers:
        yield ledgers


@pytest.fixture
def url(server: PostgresqlLedgers) -> Iterator[str]:
    made = server.create()
    yield made
    server.give_back(made)


@pytest.mark.parametrize("name", TRANSACTION_MUTATIONS)
def test_a_mutation_of_transactions_is_caught(name: str, url: str) -> None:
    catch = CATCHES[name]
    findings = simulate(catch.run(name, url)).findings
    assert catch.rule in {finding.rule for finding in findings}


@pytest.mark.parametrize("seed", sorted({CATCHES[name].seed for name in TRANSACTION_MUTATIONS}))
def test_nothing_is_lost_twice_or_wrong_where_transactions_meet(seed: int, url: str) -> None:
    run = replace(CATCHES["no-transaction"].run(None, url), seed=seed)
    assert simulate(run).findings == ()
