"""A PostgreSQL ledger whose transactions interleave statement by statement, each on its own connection.

In: work, and a scheduler, which is asked before every statement who goes on. Out: the same answers as `Ledger`. A statement that
meets another one's lock is tried again until it is free, as PostgreSQL would wait; where that takes too long, because two wait for
each other, the transaction is rolled back and tried again. Nobody really waits: all of them share one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Executable, Row, UpdateBase, create_engine, text
from sqlalchemy.engine import CursorResult, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from sayso.errors import TransientError
from sayso.ledger.database import CONFLICT_RETRIES, TRY_AGAIN, Ledger, Transaction, Work
from sayso.simulator.databases import HAS_DUE, NEXT_DUE
from sayso.simulator.scheduler import Scheduler

T = TypeVar("T")
LOCK_NOT_AVAILABLE = "55P03"
LOCK_TIMEOUT = "-c lock_timeout=5ms"
"""Of the session, not of the transaction: a broken one that commits half way must not wait either."""
TRY_AGAIN_MS = 20
TRY_AGAIN_MAX_MS = 1_000
WAITS_MAX_MS = 20_000


@dataclass(frozen=True)
class InterleavedTransaction(Transaction):
    """A transaction during which others may run."""

    scheduler: Scheduler
    commits_each: ClassVar[bool] = False

    def run(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """See `Transaction.run`."""
        return self._when_free(statement, lambda: super(InterleavedTransaction, self).run(statement, values))

    def one(self, statement: Executable, values: Any = None) -> Row[Any] | None:
        """See `Transaction.one`."""
        return self._when_free(statement, lambda: super(InterleavedTransaction, self).one(statement, values))

    def all(self, statement: Executable, values: Any = None) -> list[Row[Any]]:
        """See `Transaction.all`."""
        return self._when_free(statement, lambda: super(InterleavedTransaction, self).all(statement, values))

    def _when_free(self, statement: Executable, execute: Callable[[], T]) -> T:
        if self.commits_each:
            self.connection.commit()
        self.scheduler.point()
        if not _locks(statement):
            return execute()
        pause_ms, waited_ms = TRY_AGAIN_MS, 0
        while True:
            self.connection.exec_driver_sql("SAVEPOINT before")
            try:
                return execute()
            except DBAPIError as error:
                if _code(error) != LOCK_NOT_AVAILABLE or waited_ms > WAITS_MAX_MS:
                    raise
                self.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT before")
            self.scheduler.sleep(pause_ms)
            waited_ms += pause_ms
            pause_ms = min(2 * pause_ms, TRY_AGAIN_MAX_MS)


def _locks(statement: Executable) -> bool:
    return isinstance(statement, UpdateBase) or getattr(statement, "_for_update_arg", None) is not None


def _code(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


class InterleavedLedger(Ledger):
    """A process's view of the database."""

    def __init__(self, engine: Any, scheduler: Scheduler) -> None:
        self.url = str(engine.url)
        self.dialect = "postgresql"
        self.engine = engine
        self._scheduler = scheduler

    def submit(self, work: Work[T]) -> Future[T]:
        """See `Ledger.submit`."""
        future: Future[T] = Future()
        try:
            future.set_result(self.transact(work))
        except Exception as error:  # noqa: BLE001 - handed to the caller through the future
            future.set_exception(error)
        return future

    def transact(self, work: Work[T], *, in_sight: bool = False) -> T:
        """See `Ledger.transact`."""
        del in_sight
        conflicts, pause_ms = 0, TRY_AGAIN_MS
        while conflicts < CONFLICT_RETRIES:
            self._scheduler.point()
            try:
                value = self._attempt(work)
            except DBAPIError as error:
                code = _code(error)
                if code != LOCK_NOT_AVAILABLE and code not in TRY_AGAIN:
                    raise
                conflicts += code != LOCK_NOT_AVAILABLE
                if conflicts == CONFLICT_RETRIES and isinstance(error, IntegrityError):
                    raise
                self._scheduler.sleep(pause_ms)
                pause_ms = min(2 * pause_ms, TRY_AGAIN_MAX_MS)
                continue
            self._scheduler.point()
            return value
        raise TransientError("the ledger's transactions keep colliding; try again")

    def read(self, work: Work[T]) -> T:
        """See `Ledger.read`."""
        with self.engine.connect() as connection:
            return work(Transaction(connection, self._scheduler.clock.now_ms, self.dialect))

    def close(self) -> None:
        """See `Ledger.close`; the database stays open for the other processes."""

    def _attempt(self, work: Work[T]) -> T:
        scheduler = self._scheduler
        with self.engine.connect() as connection:
            value = work(InterleavedTransaction(connection, scheduler.clock.now_ms, self.dialect, scheduler))
            if scheduler.rng.random() < scheduler.weather.ledger_down:
                raise TransientError("the ledger is not available")
            connection.commit()
        return value


class PostgresqlDatabase:
    """A migrated, empty PostgreSQL database. Each statement is a step here, and each look at it costs a question to the server."""

    patience = 2
    rounds_at_one_moment = 4

    def __init__(self, url: str) -> None:
        self.url = make_url(url).render_as_string(hide_password=False)
        self.engine = create_engine(url, pool_size=10, max_overflow=80, connect_args={"options": LOCK_TIMEOUT})
        self._watch = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def ledger(self, scheduler: Scheduler) -> Ledger:
        """See `Database`."""
        return InterleavedLedger(self.engine, scheduler)

    def has_due(self, table: str, now_ms: int) -> bool:
        """See `Database`."""
        return self._watch.execute(text(HAS_DUE[table].replace("?", ":now_ms")), {"now_ms": now_ms}).first() is not None

    def next_due_ms(self) -> int | None:
        """See `Database`."""
        found = self._watch.execute(text(NEXT_DUE)).scalar()
        return None if found is None else int(found)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """See `Database`."""
        return [tuple(row) for row in self._watch.execute(text(query))]

    def close(self) -> None:
        """See `Database`."""
        self._watch.close()
        self.engine.dispose()
