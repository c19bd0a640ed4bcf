"""Real ledgers: every test that asks for `ledger` runs on SQLite and on PostgreSQL, each time on a fresh one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sayso.ledger import Ledger
from sayso.testing.ledgers import PostgresqlLedgers, SqliteLedgers, postgresql_ledgers


@pytest.fixture(scope="session")
def sqlite_source(tmp_path_factory: pytest.TempPathFactory) -> SqliteLedgers:
    return SqliteLedgers(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlLedgers]:
    with postgresql_ledgers(tmp_path_factory.mktemp("postgresql")) as source:
        yield source


@pytest.fixture
def sqlite_url(sqlite_source: SqliteLedgers, tmp_path: Path) -> str:
    return sqlite_source.create(tmp_path)


@pytest.fixture
def postgresql_url(postgresql_source: PostgresqlLedgers) -> Iterator[str]:
    url = postgresql_source.create()
    yield url
    postgresql_source.give_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    yield opened
    opened.close()
