"""The ledger's connection: transactions in, results out, on SQLite or PostgreSQL.

Invariant: one writer at a time. SQLite has one group-committing writer thread a process and `BEGIN IMMEDIATE` between processes;
a piece of work that fails takes no other with it. PostgreSQL uses row locks and its own group commit.
A transaction sees the database's time in `now_ms`.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row, TextClause, create_engine, event
from sqlalchemy.engine import CursorResult, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from sayso.errors import ConfigurationError, TransientError
from sayso.ledger.in_sight import NOW, NOW_IN_SIGHT
from sayso.ledger.prepared import Prepared, prepared
from sayso.ledger.turn import Turn

T = TypeVar("T")
GROUP_COMMIT_MAX = 256
CONFLICT_RETRIES = 8
CONFLICT_PAUSE_SECONDS = 0.005
"""Before the second try; doubled each time, 1.3 seconds in all."""
BUSY_TIMEOUT_MS = 30_000
SERVER_TIMEOUTS: Mapping[str, int] = MappingProxyType(
    {
        "connect_timeout": 15,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
)
"""Of libpq: seconds, but for the last. One that a cut network hides is given up in half a minute instead of a quarter of an hour."""

TRY_AGAIN = frozenset({"40001", "40P01", "23505"})
"""PostgreSQL's serialization failure, deadlock, and unique violation: somebody else was first, and the next try sees it."""

WRONG_SERVER = frozenset({"25006", "25P03", "25P04"})
"""PostgreSQL is read-only (failed over, or about to be), or has ended an idle or a long session: internal errors to the driver."""


@dataclass(frozen=True)
class Transaction:
    """A connection inside a transaction, and the time at its start (ms since 1970, database clock).

    On SQLite a statement that was seen before goes to the driver directly (ledger/prepared.py).
    """

    connection: Connection
    now_ms: int
    dialect: str

    def run(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """Execute one statement."""
        ready = self._prepared(statement, values)
        if ready is None or ready.returns_rows:
            return self.connection.execute(statement, values)
        cursor: CursorResult[Any] = ready.run(self._driver, values or {})
        return cursor

    def one(self, statement: Executable, values: Any = None) -> Row[Any] | None:
        """The first row, or None."""
        ready = self._prepared(statement, values)
        if ready is None:
            return self.connection.execute(statement, values).first()
        cursor = ready.run(self._driver, values or {})
        found = cursor.fetchone()
        return ready.rows(cursor, [found])[0] if found is not None else None

    def all(self, statement: Executable, values: Any = None) -> list[Row[Any]]:
        """All rows."""
        ready = self._prepared(statement, values)
        if ready is None:
            return list(self.connection.execute(statement, values).all())
        cursor = ready.run(self._driver, values or {})
        found = cursor.fetchall()
        return ready.rows(cursor, found) if found else []

    @cached_property
    def _driver(self) -> Any:
        return _driver_of(self.connection)

    def _prepared(self, statement: Executable, values: Any) -> Prepared | None:
        return prepared(statement, values or {}, self.connection.dialect) if self.dialect == "sqlite" else None


Work = Callable[[Transaction], T]
Answer = tuple[Any, BaseException | None]
"""What became of one piece of work: its result, or why it failed."""


class Ledger:
    """Open it with `sayso.ledger.open_ledger`; close it when done."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect = make_url(url).get_backend_name()
        if self.dialect not in ("sqlite", "postgresql"):
            raise ConfigurationError(
                f"a ledger on {self.dialect} is not known; use sqlite:///PATH or postgresql+psycopg://USER@HOST:PORT/DATABASE"
            )
        self.engine = _sqlite_engine(url) if self.dialect == "sqlite" else _server_engine(url)
        self._writer: _GroupCommit | None = None
        self._writer_lock = threading.Lock()

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue `work` as one transaction; the future resolves after its commit. Order of submission is kept on SQLite."""
        if self.dialect == "sqlite":
            return self._group_commit().submit(work)
        future: Future[T] = Future()
        try:
            future.set_result(self._transact_on_server(work))
        except BaseException as error:  # noqa: BLE001 - handed to the caller through the future
            future.set_exception(error)
        return future

    def transact(self, work: Work[T], *, in_sight: bool = False) -> T:
        """Run `work` as one transaction and return its result after the commit.

        While one `in_sight` is under way, `in_sight.py` tells others of it, from before its clock is read until it is committed.
        """
        if self.dialect == "sqlite":
            return self._group_commit().submit(work).result()
        return self._transact_on_server(work, NOW_IN_SIGHT if in_sight else NOW)

    def read(self, work: Work[T]) -> T:
        """Run `work` on a consistent snapshot, without blocking writers."""
        with _translated(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            else:
                _driver_of(connection).execute("BEGIN")
            try:
                return work(Transaction(connection, self._now_ms(connection), self.dialect))
            finally:
                connection.rollback() if self.dialect != "sqlite" else _driver_of(connection).execute("ROLLBACK")

    def close(self) -> None:
        """Finish queued work and release the connections."""
        with self._writer_lock:
            if self._writer is not None:
                self._writer.stop()
        self.engine.dispose()

    def _group_commit(self) -> _GroupCommit:
        if self._writer is None:
            with self._writer_lock:
                if self._writer is None:
                    self._writer = _GroupCommit(self.engine)
        return self._writer

    def _transact_on_server(self, work: Work[T], now: TextClause = NOW) -> T:
        """Some errors are the database asking for another try."""
        for attempt in range(CONFLICT_RETRIES):
            try:
                with _translated(), self.engine.begin() as connection:
                    return work(Transaction(connection, int(connection.execute(now).one().now_ms), self.dialect))
            except _ConflictError as error:
                if attempt == CONFLICT_RETRIES - 1 and isinstance(error.__cause__, IntegrityError):
                    raise error.__cause__ from None  # nobody else was first: our own rows contradict each other
                time.sleep(CONFLICT_PAUSE_SECONDS * 2**attempt)  # the other transaction ends meanwhile
        raise TransientError("the ledger's transactions keep colliding; try again")

    def _now_ms(self, connection: Connection) -> int:
        if self.dialect == "sqlite":
            return time.time_ns() // 1_000_000  # SQLite is this very host
        return int(connection.execute(NOW).one().now_ms)


def _driver_of(connection: Connection) -> Any:
    """SQLite's own connection: what is executed there costs a fraction."""
    return connection.connection.dbapi_connection


class _ConflictError(TransientError):
    """Somebody else was first."""


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's operational errors into ours."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise _ours(error) from error


def _ours(error: Exception) -> Exception:
    """A full disk, a lost connection or a deadlock passes by itself; anything else is a bug and stays what it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if getattr(cause, "sqlstate", None) in TRY_AGAIN:
        return _ConflictError(str(cause))
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or isinstance(error, OperationalError | sqlite3.OperationalError):
        return TransientError(f"the ledger is not available: {str(cause).strip().splitlines()[0]}")
    return error


def _server_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=10, max_overflow=40, connect_args=dict(SERVER_TIMEOUTS))

    @event.listens_for(engine, "handle_error")
    def _count_as_lost(context: ExceptionContext) -> None:
        """The next try gets a fresh connection, and with it perhaps the server that is written to by now."""
        if getattr(context.original_exception, "sqlstate", None) in WRONG_SERVER:
            context.is_disconnect = True

    return engine


def _sqlite_engine(url: str) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ConfigurationError("the ledger must be a file: sqlite:///PATH (workers are other processes)")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=8, max_overflow=32)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-6000",  # KiB a connection; what it does not hold is a copy away, in the system's cache
            "wal_autocheckpoint=4000",  # pages, 16 MB: for a checkpoint its writer waits, and one of more pages costs less a page
            "temp_store=MEMORY",  # what a savepoint of a group may have to undo; on disk it was most of what is written
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


class _GroupCommit:
    """The writer thread: takes what is queued, commits it together, then answers all."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = Turn(str(engine.url.database))
        self._connection: Connection | None = None
        self._queue: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        future: Future[T] = Future()
        with self._closing:  # what is put behind the end would never be answered
            if self._closed:
                raise TransientError("the ledger is closed")
            self._queue.put((work, future))
        return future

    def stop(self) -> None:
        with self._closing:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._disconnect()
            self._turn.close()

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            first = self._queue.get()
            if first is None:
                return
            with self._turn.taken():
                batch = [first]
                while len(batch) < GROUP_COMMIT_MAX:
                    try:
                        item = self._queue.get_nowait()
                    except queue.Empty:
                        break
                    if item is None:
                        stopping = True
                        break
                    batch.append(item)
                answers = self._commit(batch)
            for (_, future), (value, failure) in zip(batch, answers, strict=True):
                if failure is None:
                    future.set_result(value)
                else:
                    future.set_exception(failure)

    def _commit(self, batch: list[tuple[Work[Any], Future[Any]]]) -> list[Answer]:
        try:
            with _translated():
                if self._connection is None:
                    self._connection = self._engine.connect()
                return self._work(self._connection, [work for work, _ in batch])
        except BaseException as error:  # noqa: BLE001 - nothing was committed: everyone who waits must know
            self._disconnect()
            return [(None, error)] * len(batch)

    def _disconnect(self) -> None:
        """After a failure the next batch begins with a fresh connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @staticmethod
    def _work(connection: Connection, works: list[Work[Any]]) -> list[Answer]:
        driver = _driver_of(connection)
        transaction = Transaction(connection, time.time_ns() // 1_000_000, "sqlite")
        with _writing(driver):
            if len(works) == 1:  # undone as a whole
                return [(works[0](transaction), None)]
            return _together(driver, transaction, works) or [_apart(driver, transaction, work) for work in works]


@contextmanager
def _writing(driver: Any) -> Iterator[None]:
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        driver.execute("COMMIT")
    except BaseException:
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        raise


def _together(driver: Any, transaction: Transaction, works: list[Work[Any]]) -> list[Answer]:
    """All of it, or nothing when a piece fails: then each is worked once more, apart. A savepoint a piece would cost a statement."""
    driver.execute("SAVEPOINT together")
    answers: list[Answer] = []
    try:
        answers = [(work(transaction), None) for work in works]
    except Exception:  # whose it is, and what it says, shows when each is worked apart
        if not driver.in_transaction:
            raise  # a full disk: SQLite has undone the whole transaction
        driver.execute("ROLLBACK TO together")
    driver.execute("RELEASE together")
    return answers


def _apart(driver: Any, transaction: Transaction, work: Work[Any]) -> Answer:
    """One piece, whose failure belongs to it alone."""
    driver.execute("SAVEPOINT work")
    try:
        answer: Answer = (work(transaction), None)
    except Exception as error:
        if not driver.in_transaction:
            raise
        driver.execute("ROLLBACK TO work")
        answer = (None, _ours(error))
    driver.execute("RELEASE work")
    return answer
