"""The store of effects: performs each idempotency key once, and remembers the answer.

In: a `Command`. Out: an `Answer`. Invariant: the effect, the answer and the key are one transaction (WAL, synchronous FULL), so
that after any crash a key has had its effect and its answer, or neither. `list_effects` is the witness: one row for each effect,
with the number of times that its key was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from announcements import SCHEMA as ANNOUNCEMENTS
from announcements import announce, listed, payment_event
from pydantic import BaseModel, ConfigDict, Field
from resources import RESOURCES, Resource

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    seq INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    answer TEXT NOT NULL,
    performed INTEGER NOT NULL,
    calls INTEGER NOT NULL DEFAULT 1,
    performed_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_by_subject ON answers (subject);
CREATE TABLE IF NOT EXISTS subjects (
    resource TEXT NOT NULL,
    subject TEXT NOT NULL,
    matter TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (resource, subject, matter)
) WITHOUT ROWID;
"""
WITNESS = """FROM answers WHERE performed AND seq > :after
    AND (:kind IS NULL OR kind = :kind) AND (:key IS NULL OR key = :key) AND (:subject IS NULL OR subject = :subject)"""


BOOKS = """FROM subjects WHERE (:resource IS NULL OR resource = :resource) AND (:subject IS NULL OR subject = :subject)
    AND (:matter IS NULL OR matter = :matter) ORDER BY resource, subject, matter"""
GATHER_SECONDS = 0.001
DONE = {resource.name: resource.done for resource in RESOURCES}


class KeyReusedError(Exception):
    """The key has been used for something else."""


@dataclass(frozen=True)
class Command:
    """Do (or undo) something to `subject`. `matter` is the caller's case: an undo binds only the matter that it belongs to."""

    key: str
    resource: Resource
    undo: bool
    subject: str
    matter: str
    body: dict[str, Any]

    @property
    def status(self) -> str:
        """What the subject is afterwards."""
        return self.resource.undone if self.undo else self.resource.done

    @property
    def kind(self) -> str:
        """The name of the effect: `orders.placed`."""
        return f"{self.resource.name}.{self.status}"

    @property
    def digest(self) -> str:
        """SHA-256 of all that the command says."""
        return hashlib.sha256(json.dumps([self.kind, self.subject, self.body], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What the caller gets; `replayed` if the key had been answered before."""

    body: dict[str, Any]
    replayed: bool


class EffectFilter(BaseModel):
    """Which effects to count; None takes all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str | None = None
    key: str | None = None
    subject: str | None = None
    after: int = 0


class EffectPage(EffectFilter):
    """Which effects to list, from the one after `after`."""

    limit: int = Field(1_000, ge=1, le=100_000)


class BookFilter(BaseModel):
    """Which lines of the books; None takes all. `matter` is the case that a request named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resource: str | None = None
    subject: str | None = None
    matter: str | None = None


class EffectStore:
    """One connection, used by one thread: the server's event loop is the queue of writers."""

    def __init__(self, data_dir: Path, channels: tuple[str, ...] = ()) -> None:
        self._channels = channels
        self._waiting: list[tuple[Command, asyncio.Future[Answer]]] = []
        data_dir.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(data_dir / "partners.db", isolation_level=None, timeout=10, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(SCHEMA + ANNOUNCEMENTS)

    async def perform(self, command: Command) -> Answer:
        """Perform the command, or give the stored answer of its key; `KeyReusedError` if the key meant something else.

        Commands that come within a millisecond share a transaction; each is answered after its commit.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((command, answer))
        if len(self._waiting) == 1:
            loop.call_later(GATHER_SECONDS, self._perform_waiting)
        return await answer

    def _perform_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        outcomes = self._perform_together([command for command, _ in batch])
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if answer.done():
                continue  # its caller has gone
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

    def _perform_together(self, commands: list[Command]) -> list[Answer | Exception]:
        """All in one transaction; when that fails, each in its own, so that one which cannot be performed takes no other with it."""
        try:
            with self._transaction():
                return [self._perform_one(command) for command in commands]
        except Exception as error:  # noqa: BLE001 - its caller must know, whatever it is
            if len(commands) == 1:
                return [error]
            return [outcome for command in commands for outcome in self._perform_together([command])]

    def _perform_one(self, command: Command) -> Answer | KeyReusedError:
        known = self._database.execute("SELECT digest, answer FROM answers WHERE key = ?", (command.key,)).fetchone()
        if known is None:
            return Answer(self._perform_first(command), replayed=False)
        if known["digest"] != command.digest:
            return KeyReusedError()
        self._database.execute("UPDATE answers SET calls = calls + 1 WHERE key = ?", (command.key,))
        return Answer(json.loads(known["answer"]), replayed=True)

    def _perform_first(self, command: Command) -> dict[str, Any]:
        before = self._status(command)
        # What is undone stays undone, also for a request that comes late; the answer tells the truth: `cancelled`.
        performed = before != command.resource.undone
        status = command.status if performed else command.resource.undone
        if performed:
            self._set_status(command)
        reference = hashlib.sha256(command.key.encode()).hexdigest()[:12]
        answer = {command.resource.subject: command.subject, "status": status, "before": before, "reference": reference}
        self._database.execute(
            "INSERT INTO answers (key, digest, kind, subject, body, answer, performed, performed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                command.key,
                command.digest,
                command.kind,
                command.subject,
                json.dumps(command.body),
                json.dumps(answer),
                performed,
                datetime.now(UTC).isoformat(),
            ),
        )
        if command.resource.announced:
            announce(self._database, self._channels, command.subject, payment_event(command.key, command.body))
        return answer

    def _status(self, command: Command) -> str | None:
        row = self._database.execute(
            "SELECT status FROM subjects WHERE resource = ? AND subject = ? AND matter = ?",
            (command.resource.name, command.subject, command.matter),
        ).fetchone()
        return row["status"] if row else None

    def _set_status(self, command: Command) -> None:
        self._database.execute(
            "INSERT INTO subjects VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status",
            (command.resource.name, command.subject, command.matter, command.status),
        )

    def list_effects(self, wanted: EffectPage) -> list[dict[str, Any]]:
        """The effects in the order in which they happened."""
        rows = self._database.execute(
            f"SELECT seq, key, kind, subject, body, calls, performed_at {WITNESS} ORDER BY seq LIMIT :limit",
            wanted.model_dump(),
        )
        return [dict(row) | {"body": json.loads(row["body"])} for row in rows]

    def count_effects(self, wanted: EffectFilter) -> dict[str, int]:
        """How many effects there are, and how often their keys were sent."""
        row = self._database.execute(
            f"SELECT count(*) AS effects, coalesce(sum(calls), 0) AS calls {WITNESS}",
            wanted.model_dump(),
        ).fetchone()
        return dict(row)

    def books(self, wanted: BookFilter) -> list[dict[str, Any]]:
        """What has become of each subject: its resource, matter and status, and whether that still stands."""
        rows = self._database.execute(f"SELECT resource, subject, matter, status {BOOKS}", wanted.model_dump())
        return [dict(row) | {"stands": row["status"] == DONE[row["resource"]]} for row in rows]

    def announcements(self, subject: str | None) -> list[dict[str, Any]]:
        """What others were told, and what they are still to be told."""
        return listed(self._database, subject)

    @property
    def database(self) -> sqlite3.Connection:
        """The one connection, for whoever tells others; on the event loop's thread."""
        return self._database

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
