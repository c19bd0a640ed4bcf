"""A ledger whose transactions run at once, in the caller's own thread, at virtual time.

In: the same work as `Ledger` takes, and a `Scheduler`, which is told before and after each commit. Out: the same answers, on a SQLite
file, on SQLite in memory, or on PostgreSQL. Invariant: the work, the tables and the statements are those of production.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from sayso.errors import TransientError
from sayso.ledger.database import Ledger, Transaction, Work
from sayso.ledger.schema import metadata
from sayso.simulator.scheduler import Scheduler

T = TypeVar("T")


class LazyFuture(Future[T]):
    """A future whose work is done, with all that was queued before it, when somebody wants its answer."""

    def __init__(self, flush: Callable[[], None]) -> None:
        super().__init__()
        self._flush = flush

    def result(self, timeout: float | None = None) -> T:
        """See `Future.result`."""
        if not self.done():
            self._flush()
        return super().result(timeout)


HAS_DUE = {
    "events": "SELECT 1 FROM events WHERE due_at_ms <= ? LIMIT 1",
    "cases": "SELECT 1 FROM cases WHERE due_at_ms <= ? LIMIT 1",
    "outbox": "SELECT 1 FROM outbox WHERE due_at_ms <= ? LIMIT 1",
    "notices": "SELECT 1 FROM notices WHERE due_at_ms <= ? LIMIT 1",
    "checks": "SELECT 1 FROM cases WHERE check_at_ms <= ? AND phase = 'running' LIMIT 1",
}
NEXT_DUE = """SELECT min(due) FROM (SELECT min(due_at_ms) AS due FROM events WHERE due_at_ms IS NOT NULL
    UNION ALL SELECT min(due_at_ms) FROM cases WHERE due_at_ms IS NOT NULL
    UNION ALL SELECT min(due_at_ms) FROM outbox WHERE due_at_ms IS NOT NULL
    UNION ALL SELECT min(check_at_ms) FROM cases WHERE check_at_ms IS NOT NULL AND phase = 'running') AS lanes"""


class Database(Protocol):
    """Where the ledgers of one world live. `patience`: so many times the usual steps are still no endless loop.
    Lanes that something is due for, and that are all at work, are looked at `rounds_at_one_moment` times before time goes on.
    """

    patience: int
    rounds_at_one_moment: int

    def ledger(self, scheduler: Scheduler) -> Ledger:
        """A process's own view."""

    def has_due(self, table: str, now_ms: int) -> bool:
        """Whether a lane would find something to do."""

    def next_due_ms(self) -> int | None:
        """When a lane will next find something to do; notices may wait until something else is due."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is in it, for the witness."""

    def close(self) -> None:
        """Let go of it."""


class SqliteDatabase:
    """One SQLite database, on a file or in memory, and the one connection to it."""

    patience = 1
    rounds_at_one_moment = 100

    def __init__(self, path: Path | None) -> None:
        self.url = f"sqlite:///{path}" if path else "sqlite://"
        self.engine = create_engine(
            self.url, isolation_level="AUTOCOMMIT", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        event.listen(self.engine, "connect", _configure)
        self.connection: Connection = self.engine.connect()
        driver = self.connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        self.driver: sqlite3.Connection = driver
        metadata.create_all(self.connection)

    def ledger(self, scheduler: Scheduler) -> Ledger:
        """A process's own view."""
        return InlineSqliteLedger(self, scheduler)

    def has_due(self, table: str, now_ms: int) -> bool:
        """Whether a lane would find something to do."""
        return self.driver.execute(HAS_DUE[table], (now_ms,)).fetchone() is not None

    def next_due_ms(self) -> int | None:
        """When a lane will next find something to do; notices may wait until something else is due."""
        found = self.driver.execute(NEXT_DUE).fetchone()[0]
        return None if found is None else int(found)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What is in it, for the witness."""
        return self.driver.execute(query).fetchall()

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()
        self.engine.dispose()


class InlineSqliteLedger(Ledger):
    """A process's view of the database. Work that is submitted together is committed together, as the writer thread does it."""

    def __init__(self, database: SqliteDatabase, scheduler: Scheduler) -> None:
        self.url = database.url
        self.dialect = "sqlite"
        self.engine = database.engine
        self.driver = database.driver
        self._connection = database.connection
        self._scheduler = scheduler
        self._clock = scheduler.clock
        self._point = scheduler.point
        self._queue: list[tuple[Work[Any], Future[Any]]] = []

    def submit(self, work: Work[T]) -> Future[T]:
        """See `Ledger.submit`."""
        future = LazyFuture[T](self._flush)
        self._queue.append((work, future))
        return future

    def transact(self, work: Work[T], *, in_sight: bool = False) -> T:
        """See `Ledger.transact`."""
        del in_sight
        self._point()
        driver = self.driver
        driver.execute("BEGIN IMMEDIATE")
        try:
            value = work(self._transaction())
            self._may_fail()
            driver.execute("COMMIT")
        except BaseException:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
            raise
        self._point()
        self._may_fail()
        return value

    def read(self, work: Work[T]) -> T:
        """See `Ledger.read`."""
        return work(self._transaction())

    def close(self) -> None:
        """See `Ledger.close`; the database stays open for the other processes."""

    def _transaction(self) -> Transaction:
        """Its driver is known: looking it up costs as much as a small query."""
        transaction = Transaction(self._connection, self._clock.now_ms, "sqlite")
        transaction.__dict__["_driver"] = self.driver
        return transaction

    def _flush(self) -> None:
        self._point()
        queue, self._queue = self._queue, []
        driver = self.driver
        transaction = self._transaction()
        driver.execute("BEGIN IMMEDIATE")
        try:
            answers = [self._work(transaction, work) for work, _ in queue]
            self._may_fail()
            driver.execute("COMMIT")
            self._point()
        except TransientError as error:
            driver.execute("ROLLBACK")
            answers = [(None, error)] * len(queue)
        for (_, future), (value, failure) in zip(queue, answers, strict=True):
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)

    def _work(self, transaction: Transaction, work: Work[Any]) -> tuple[Any, Exception | None]:
        self.driver.execute("SAVEPOINT work")
        try:
            return work(transaction), None
        except Exception as error:  # noqa: BLE001 - it belongs to this piece of work alone
            self.driver.execute("ROLLBACK TO work")
            return None, error
        finally:
            self.driver.execute("RELEASE work")

    def _may_fail(self) -> None:
        """A commit that fails, and one whose answer is lost."""
        if self._scheduler.rng.random() < self._scheduler.weather.ledger_down:
            raise TransientError("the ledger is not available")


def _configure(connection: Any, _record: Any) -> None:
    """As in production, but for waiting for the disk: here processes are killed, and the power is never cut."""
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")
