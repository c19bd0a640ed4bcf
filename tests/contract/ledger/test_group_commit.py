"""Commits: many in one, one failure alone, and what was answered is there whatever is killed."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from ledger_world import World
from sqlalchemy import event, text

from sayso.errors import TransientError
from sayso.ledger import Ledger, Transaction
from sayso.ledger.intake import receive

PROCESS = Path(__file__).with_name("writing_process.py")


def put(number: int) -> Any:
    return lambda tx: receive(tx, "purchases", b"message %d" % number)


def numbers_in(world: World) -> list[int]:
    return sorted(int(bytes(row.original).split()[1]) for row in world.events)


def gathered(ledger: Ledger, works: list[Any]) -> list[Future[Any]]:
    """Submit all, on SQLite while the writer is held up, so that it commits them together."""
    gate = threading.Event()
    if ledger.dialect == "sqlite":
        ledger.submit(lambda _tx: gate.wait(60))
    futures = [ledger.submit(work) for work in works]
    gate.set()
    return futures


def test_one_piece_of_work_that_fails_takes_no_other_with_it(world: World) -> None:
    def broken(tx: Transaction) -> None:
        receive(tx, "purchases", b"message 999")
        raise LookupError("only mine")

    works = [broken if number % 10 == 5 else put(number) for number in range(100)]
    futures = gathered(world.ledger, works)
    failed = [number for number, future in enumerate(futures) if future.exception(60) is not None]
    assert failed == list(range(5, 100, 10))
    assert all(isinstance(futures[number].exception(), LookupError) for number in failed)
    assert numbers_in(world) == [number for number in range(100) if number not in failed]


def test_a_statement_that_the_database_refuses_takes_no_other_with_it(world: World) -> None:
    def broken(tx: Transaction) -> None:
        receive(tx, "purchases", b"message 999")
        tx.run(text("INSERT INTO events (seq) VALUES (1)"))

    futures = gathered(world.ledger, [put(1), broken, put(2)])
    assert [future.exception(60) is None for future in futures] == [True, False, True]
    assert numbers_in(world) == [1, 2]


def test_work_sees_what_was_submitted_before_it(world: World) -> None:
    futures = gathered(world.ledger, [put(1), put(2), lambda tx: len(tx.all(text("SELECT seq FROM events")))])
    assert futures[-1].result(60) == 2


def test_results_and_failures_reach_the_one_who_asked(world: World) -> None:
    futures = gathered(world.ledger, [lambda _tx, number=number: number for number in range(300)])
    assert [future.result(60) for future in futures] == list(range(300))


@pytest.fixture
def small_disk(sqlite_url: str) -> Any:
    """A ledger whose disk can be made full, and larger again."""
    ledger = Ledger(sqlite_url)
    pages = {"limit": 1_073_741_823}

    @event.listens_for(ledger.engine, "checkout")
    def limit(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages['limit']}")

    yield ledger, pages
    ledger.close()


def test_on_a_full_disk_everyone_gets_a_transient_error_and_nothing_is_acknowledged(small_disk: Any) -> None:
    ledger, pages = small_disk
    world = World(ledger)
    big = b"message 1 " + b"x" * 200_000
    pages["limit"] = 1  # SQLite takes the pages that there are already
    futures = gathered(ledger, [lambda tx, number=number: receive(tx, "purchases", big + b"%d" % number) for number in range(50)])
    errors = [future.exception(60) for future in futures]
    assert all(isinstance(error, TransientError) for error in errors), errors
    assert all("full" in str(error) for error in errors)
    assert world.events == []
    pages["limit"] = 1_073_741_823
    ledger.transact(put(7))
    assert numbers_in(world) == [7]


def test_a_locked_database_is_a_transient_error_and_works_again_afterwards(sqlite_url: str) -> None:
    first, second = Ledger(sqlite_url), Ledger(sqlite_url)

    @event.listens_for(second.engine, "checkout")
    def impatient(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute("PRAGMA busy_timeout=50")

    def locked(_tx: Transaction) -> None:
        futures = [second.submit(put(number)) for number in range(3)]
        assert all(isinstance(future.exception(60), TransientError) for future in futures)

    first.transact(locked)
    second.transact(put(7))
    assert numbers_in(World(first)) == [7]
    for ledger in (first, second):
        ledger.close()


def test_what_was_answered_is_there_after_kill_9_in_the_middle_of_commits(world: World) -> None:
    process = subprocess.Popen([sys.executable, str(PROCESS), world.ledger.url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        said = [process.stdout.readline() for _ in range(300)]
    finally:
        process.kill()
        rest, _ = process.communicate()
    answered = [int(line) for line in b"".join([*said, rest]).splitlines(keepends=True) if line.endswith(b"\n")]
    assert len(answered) >= 300
    kept = numbers_in(World(world.ledger))
    assert set(answered) <= set(kept)
    assert len(kept) == len(set(kept))
    world.ledger.transact(put(1_000_000))
    assert 1_000_000 in numbers_in(world)
