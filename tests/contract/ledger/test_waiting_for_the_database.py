"""A process that is started while its database is away waits for it, and says so; otherwise a restart of the server would end it."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from sayso.ledger import open_ledger, read_ledger_id

NAME = "a_ledger_that_comes_later"


def test_the_ledger_is_opened_as_soon_as_its_database_is_there(postgresql_url: str) -> None:
    url = make_url(postgresql_url).set(database=NAME).render_as_string(hide_password=False)
    found: list[str] = []

    def start() -> None:
        ledger = open_ledger(url, patience_seconds=60)
        found.append(read_ledger_id(ledger))
        ledger.close()

    with pytest.raises(OperationalError, match=NAME):
        open_ledger(url)
    with psycopg.connect(postgresql_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as server:
        starting = threading.Thread(target=start)
        starting.start()
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        starting.join(60)
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))
    assert [len(one) for one in found] == [6]


def test_patience_has_an_end(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(OperationalError, match="unable to open"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db", patience_seconds=0.1)
