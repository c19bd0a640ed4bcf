"""Statements that run often: the second and every later execution gives what the first gave."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_world import World
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import StatementError

from sayso.ledger import Transaction
from sayso.ledger.intake import receive
from sayso.ledger.schema import audit, events

TIMES = range(3)


@pytest.fixture
def three(world: World) -> World:
    for number in range(3):
        world.ledger.transact(lambda tx, number=number: receive(tx, "purchases", b"message %d" % number))
    return world


def test_lists_of_any_length_find_their_rows(three: World) -> None:
    query = select(events.c.seq).where(events.c.seq.in_(bindparam("seqs", expanding=True))).order_by(events.c.seq)
    for wanted in ([1, 2], [], [3], [1, 2, 3], [], [2]):
        found = three.ledger.transact(lambda tx, wanted=wanted: tx.all(query, {"seqs": wanted}))
        assert [row.seq for row in found] == wanted


def test_rows_have_names_places_and_a_mapping(three: World) -> None:
    query = select(events).where(events.c.seq == bindparam("seq"))
    for _ in TIMES:
        row = three.ledger.transact(lambda tx: tx.one(query, {"seq": 2}))
        assert row is not None
        assert (row.seq, row[0], bytes(row.original), row.identity) == (2, 2, b"message 1", None)
        assert list(row._mapping) == [column.name for column in events.c]
        assert three.ledger.transact(lambda tx: tx.one(query, {"seq": 99})) is None


def test_words_that_a_database_cannot_store_are_mended_each_time(world: World) -> None:
    entry = insert(audit)
    row = {"at_ms": 1, "actor": "a\0b", "channel": "\ud800", "action": "tried", "detail": "{}"}
    for _ in TIMES:
        world.ledger.transact(lambda tx: tx.run(entry, row))
    said = world.ledger.read(lambda tx: tx.all(select(audit.c.actor, audit.c.channel)))
    assert len(said) == len(TIMES)
    assert {one.actor for one in said} == {"a\u2400b"}
    assert len({one.channel for one in said}) == 1
    assert "\ud800" not in said[0].channel


def test_one_statement_takes_other_values_each_time(three: World) -> None:
    change = update(events).where(events.c.seq == bindparam("this_seq"))
    for number in (1, 2, 3):
        three.ledger.transact(lambda tx, number=number: tx.run(change, {"this_seq": number, "reason": f"reason {number}"}))
        three.ledger.transact(lambda tx, number=number: tx.run(change, {"this_seq": number, "attempts": number, "due_at_ms": None}))
    assert [(row.reason, row.attempts, row.due_at_ms) for row in three.events] == [(f"reason {n}", n, None) for n in (1, 2, 3)]


def test_constants_and_returned_rows_are_those_of_the_statement(three: World) -> None:
    change = update(events).where(events.c.attempts < bindparam("limit")).values(attempts=events.c.attempts + 1, reason=None)
    change = change.returning(events.c.seq, events.c.attempts)
    for turn in (1, 2, 3, 4):
        found = three.ledger.transact(lambda tx: tx.all(change, {"limit": 3}))
        assert sorted(tuple(row) for row in found) == ([(seq, turn) for seq in (1, 2, 3)] if turn <= 3 else [])


def test_a_number_without_a_name_of_its_own(three: World) -> None:
    query = select(func.count()).select_from(events)
    removal = delete(events).where(events.c.seq == bindparam("seq"))
    for left in (2, 1, 0):
        three.ledger.transact(lambda tx, left=left: tx.run(removal, {"seq": left + 1}))
        row = three.ledger.transact(lambda tx: tx.one(query))
        assert row is not None
        assert row[0] == left


def test_a_missing_value_is_refused_each_time(three: World) -> None:
    query = select(events.c.seq).where(events.c.seq == bindparam("seq"))

    def ask(tx: Transaction) -> Any:
        return tx.one(query, {"another": 1})

    for _ in TIMES:
        with pytest.raises(StatementError):
            three.ledger.transact(ask)
