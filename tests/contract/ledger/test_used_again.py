"""A PostgreSQL ledger that one test has used is as good as new for the next one, or it is not used again."""

from __future__ import annotations

import psycopg
import pytest
from ledger_world import World
from sqlalchemy import text
from sqlalchemy.engine import make_url

from sayso.ledger import Ledger
from sayso.ledger.schema import metadata
from sayso.testing.ledgers import PostgresqlLedgers

Content = dict[str, list[tuple[object, ...]]]


def content_of(url: str) -> Content:
    ledger = Ledger(url)
    found = {table.name: [tuple(row) for row in World(ledger).rows(table)] for table in metadata.sorted_tables}
    ledger.close()
    return found


def work_on(url: str) -> list[int]:
    """Use it for a while; returns the numbers of the events."""
    ledger = Ledger(url)
    world = World(ledger)
    world.buy()
    world.decide()
    numbers = [row.seq for row in world.events]
    ledger.close()
    return numbers


def test_what_one_test_wrote_the_next_one_does_not_see(postgresql_source: PostgresqlLedgers) -> None:
    url = postgresql_source.create()
    new = content_of(url)
    numbers = work_on(url)
    assert content_of(url) != new
    postgresql_source.give_back(url)
    again = postgresql_source.create()
    assert again == url
    assert content_of(again) == new
    assert work_on(again) == numbers
    postgresql_source.give_back(again)


def test_who_is_still_connected_writes_nothing_into_the_next_test(postgresql_source: PostgresqlLedgers) -> None:
    url = postgresql_source.create()
    new = content_of(url)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    left = psycopg.connect(plain)
    left.execute("DELETE FROM ledger_info")
    postgresql_source.give_back(url)
    with pytest.raises(psycopg.OperationalError):
        left.commit()
    left.close()
    assert content_of(postgresql_source.create()) == new
    postgresql_source.give_back(url)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE steps DROP CONSTRAINT pk_steps",
        "CREATE TABLE other (number int)",
        "DROP INDEX {index}",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1",
        "ALTER TABLE events ALTER COLUMN topic DROP NOT NULL",
    ],
)
def test_a_ledger_with_another_schema_is_not_used_again(postgresql_source: PostgresqlLedgers, change: str) -> None:
    url = postgresql_source.create()
    ledger = Ledger(url)
    index = next(index.name for table in metadata.sorted_tables for index in table.indexes)
    ledger.transact(lambda tx: tx.run(text(change.format(index=index))))
    ledger.close()
    postgresql_source.give_back(url)
    other = postgresql_source.create()
    assert other != url
    postgresql_source.give_back(other)
