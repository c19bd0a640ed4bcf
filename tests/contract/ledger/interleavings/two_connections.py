"""Two transactions on two PostgreSQL connections, in an order that the test forces, statement by statement.

In: what each side does, and before which of its points it stops. A point is a commit, or a statement that reads or changes what
others do too: to stop before the clock is read, or before a line is added to audit, outbox, notices or tasks, would be the same order
as the stop after it. Out: what each side answered, and which conflicts the database reported. Nothing waits for a guessed time: a
side is seen to stop, to end, or, by `pg_blocking_pids`, to wait for the other one's lock.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import make_url

from sayso.ledger import Ledger

Acts = Callable[[Ledger], Any]
"""What a side does: one transaction or several, on its own ledger."""

Rewrite = Callable[[str], str]
"""Turns the text of a statement into another: how a test takes a lock away."""

NO_POINT = re.compile(r"INSERT INTO (audit|outbox|notices|tasks)|SELECT (CAST\(EXTRACT|pg_advisory_xact_lock_shared)")
WAIT_SECONDS = 60.0
PAUSE_SECONDS = 0.001


class Side:
    """One connection; it stops before its point number `stops_at`, counted from 0, until it may go on."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.ledger = Ledger(url)
        self.rewrite: Rewrite | None = None
        self.pid = 0
        self.points: list[str] = []
        self.conflicts: list[str] = []
        self.stopped, self._go = threading.Event(), threading.Event()
        self.answer: Future[Any] = Future()
        self._stops_at: int | None = None
        event.listen(self.ledger.engine, "before_cursor_execute", self._before_statement, retval=True)
        event.listen(self.ledger.engine, "commit", lambda connection: self._arrive(connection, "COMMIT"))
        event.listen(self.ledger.engine, "handle_error", self._note_conflict)

    def begin(self, acts: Acts, stops_at: int | None) -> None:
        """Start on a thread of its own."""
        self.points, self.conflicts, self._stops_at = [], [], stops_at
        self.stopped.clear()
        self._go.clear()
        self.answer = Future()
        threading.Thread(target=self._run, args=(acts,), name=self.name, daemon=True).start()

    def go_on(self) -> None:
        self._go.set()

    @property
    def at_rest(self) -> bool:
        """It has stopped or ended: it does nothing until it is told to."""
        return self.answer.done() or (self.stopped.is_set() and not self._go.is_set())

    def _run(self, acts: Acts) -> None:
        try:
            self.answer.set_result(acts(self.ledger))
        except BaseException as error:  # noqa: BLE001 - the test sees it in the answer
            self.answer.set_exception(error)

    def _before_statement(self, connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> tuple[str, Any]:
        statement = self.rewrite(statement) if self.rewrite else statement
        if not NO_POINT.match(statement):
            self._arrive(connection, " ".join(statement.split())[:110])
        return statement, values

    def _arrive(self, connection: Any, point: str) -> None:
        self.pid = connection.connection.dbapi_connection.info.backend_pid
        self.points.append(point)
        if len(self.points) - 1 == self._stops_at:
            self.stopped.set()
            assert self._go.wait(WAIT_SECONDS), f"{self.name} was never told to go on"

    def _note_conflict(self, context: Any) -> None:
        self.conflicts.append(str(getattr(context.original_exception, "sqlstate", None) or context.original_exception))


@dataclass(frozen=True)
class Outcome:
    """What came of one order of two sides."""

    order: str
    answers: tuple[Any, Any]
    conflicts: list[str]
    first_stopped: bool
    second_stopped: bool

    def __str__(self) -> str:
        return f"{self.order}\nanswers: {self.answers}; conflicts: {self.conflicts}"


@dataclass
class TwoConnections:
    """Both sides, and a third connection that sees who waits for whom."""

    url: str
    first: Side = field(init=False)
    second: Side = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second = Side(self.url, "first"), Side(self.url, "second")
        plain = make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._observer = psycopg.connect(plain, autocommit=True)

    def close(self) -> None:
        self._observer.close()
        for side in (self.first, self.second):
            side.ledger.close()

    def rewrite(self, how: Rewrite | None) -> None:
        """From now on both sides send other statements."""
        self.first.rewrite = self.second.rewrite = how

    def play(self, first: Acts, second: Acts, first_stops_at: int, second_stops_at: int | None) -> Outcome:
        """The first side comes to its point, then the second to its own, then the first ends, then the second."""
        self.first.begin(first, first_stops_at)
        self._until_at_rest(self.first)
        first_stopped = not self.first.answer.done()
        self.second.begin(second, second_stops_at)
        self._until_at_rest(self.second)
        second_stopped = self.second.stopped.is_set() and not self.second.answer.done()
        seen = [list(side.points) for side in (self.first, self.second)]
        for side in (self.first, self.second):
            side.go_on()
            self._until_at_rest(side)
        answers = tuple(_answer_of(side) for side in (self.first, self.second))
        order = "\n".join(
            f"{side.name} {'stopped before' if stopped else 'ended or waited at'} {points[-1] if points else 'its beginning'}"
            for side, points, stopped in zip((self.first, self.second), seen, (first_stopped, second_stopped), strict=True)
        )
        conflicts = [*self.first.conflicts, *self.second.conflicts]
        return Outcome(order, (answers[0], answers[1]), conflicts, first_stopped, second_stopped)

    def every_order(self, prepared: Callable[[], tuple[Acts, Acts]]) -> Iterator[Outcome]:
        """Every pair of points, each on a ledger that `prepared` has put to the beginning.

        When the second side waits for the first one's lock, or has ended, its later points are the same order again.
        """
        for first_stops_at in count():
            for second_stops_at in count(1):
                outcome = self.play(*prepared(), first_stops_at, second_stops_at)
                yield outcome
                if not (outcome.first_stopped and outcome.second_stopped):
                    break
            if not outcome.first_stopped:
                return

    def _until_at_rest(self, side: Side) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not side.at_rest and not self._waits_for_the_other(side):
            assert time.monotonic() < deadline, f"{side.name} neither stops nor ends after {side.points}"
            time.sleep(PAUSE_SECONDS)

    def _waits_for_the_other(self, side: Side) -> bool:
        """Only a wait for one who is at rest is one: who moves will let go by itself."""
        other = self.second if side is self.first else self.first
        if not other.at_rest or other.answer.done() or not side.pid:
            return False
        row = self._observer.execute("SELECT %s = ANY(pg_blocking_pids(%s))", (other.pid, side.pid)).fetchone()
        return bool(row and row[0])


def _answer_of(side: Side) -> Any:
    error = side.answer.exception(WAIT_SECONDS)
    return side.answer.result() if error is None else error
