"""Opening a ledger: the migrations give the tables of the code, once, whoever comes first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ledger_world import World
from sqlalchemy import text

from sayso.errors import ConfigurationError, TransientError
from sayso.ledger import Ledger, Transaction, open_ledger, read_ledger_id
from sayso.ledger.schema import cases, ledger_info, metadata

PROCESS = Path(__file__).with_name("opening_process.py")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a single table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/new.db"
    url: str = request.getfixturevalue("postgresql_url")
    ledger = Ledger(url)
    with ledger.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    ledger.close()
    return url


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_three_processes_that_open_a_new_ledger_at_once_agree(empty_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, str(PROCESS), empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        answers = [process.communicate("go\n", timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    ids = {said.strip() for said, _ in answers}
    assert len(ids) == 1, answers
    assert len(ids.pop()) == 6


def test_opening_again_keeps_everything(world: World) -> None:
    world.buy()
    before = (world.case, read_ledger_id(world.ledger))
    again = open_ledger(world.ledger.url)
    assert (World(again).case, read_ledger_id(again)) == before
    again.close()


def test_a_ledger_that_was_never_opened_says_what_to_do(ledger: Ledger) -> None:
    ledger.transact(lambda tx: tx.run(ledger_info.delete()))
    with pytest.raises(ConfigurationError, match="sayso up"):
        read_ledger_id(ledger)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite:///:memory:", "sqlite://"])
def test_a_url_that_cannot_be_a_ledger_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Ledger(url)


def test_a_database_that_does_not_answer_is_a_transient_error(tmp_path: Path) -> None:
    ledger = Ledger("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2")
    for use in (ledger.transact, ledger.read):
        with pytest.raises(TransientError, match="not available"):
            use(lambda _tx: None)
    ledger.close()


def test_a_read_sees_one_moment(world: World) -> None:
    world.buy()

    def look(tx: Transaction) -> tuple[int, int]:
        before = count(tx)
        world.buy("PO-2")
        return before, count(tx)

    def count(tx: Transaction) -> int:
        return len(tx.all(cases.select()))

    assert world.ledger.read(look) == (1, 1)
    assert len(world.events) == 2


def test_a_closed_ledger_takes_nothing_more(sqlite_url: str) -> None:
    ledger = Ledger(sqlite_url)
    assert ledger.transact(lambda _tx: 1) == 1
    ledger.close()
    with pytest.raises(TransientError, match="closed"):
        ledger.transact(lambda _tx: 2)
