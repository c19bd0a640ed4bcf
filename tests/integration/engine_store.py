"""The engine's state store, looked at and harmed from outside: wiped, copied, put back to an earlier state.

In: a running system. Out: its store, empty or with what a copy holds. daprd, which keeps actors in memory, is killed with it.
"""

from __future__ import annotations

from typing import Any, Protocol

import psycopg
import valkey
from running_system import RunningSystem
from waiting import eventually

ACTORS = "sayso||dapr.internal."
BEGINNING = "history-000000"
COLUMNS = "key, value, etag, created_at, updated_at, expires_at"


class EngineStore(Protocol):
    """What can happen to a store."""

    def copy(self) -> Any:
        """All that it holds of workflow instances."""

    def lose_beginning(self, instance_id: str) -> None:
        """Lose the first entry of an instance's history."""

    def put_back(self, copied: Any) -> None:
        """Make it what it was when it was copied; nothing for an empty one."""


class ValkeyStore:
    """Keys of actors in Valkey; the topics are in the same server and stay as they are."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._client: Any = valkey.Valkey(host=host, port=int(port), socket_timeout=10)

    def copy(self) -> dict[bytes, bytes]:
        keys = list(self._client.scan_iter(f"{ACTORS}*", count=1_000))
        return {key: body for key in keys if (body := self._client.dump(key)) is not None}

    def lose_beginning(self, instance_id: str) -> None:
        (key,) = self._client.scan_iter(f"{ACTORS}*.workflow||{instance_id}||{BEGINNING}", count=1_000)
        self._client.delete(key)

    def put_back(self, copied: dict[bytes, bytes]) -> None:
        for key in list(self._client.scan_iter(f"{ACTORS}*", count=1_000)):
            self._client.delete(key)
        for key, body in copied.items():
            self._client.restore(key, 0, body, replace=True)  # daprd runs, and may have written one anew


class PostgresqlStore:
    """Rows of actors in the tables that daprd made beside the ledger's."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://")

    def copy(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url) as connection:
            found = connection.execute(f"SELECT {COLUMNS} FROM dapr_state")
            return [row for row in found if row[0].startswith(ACTORS)]

    def lose_beginning(self, instance_id: str) -> None:
        with psycopg.connect(self._url) as connection:
            gone = connection.execute(
                "DELETE FROM dapr_state WHERE starts_with(key, %s) AND key LIKE %s",
                (ACTORS, f"%.workflow||{instance_id}||{BEGINNING}"),
            )
            assert gone.rowcount == 1

    def put_back(self, copied: list[tuple[Any, ...]]) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute("DELETE FROM dapr_state WHERE starts_with(key, %s)", (ACTORS,))
            for row in copied:
                connection.execute(
                    "INSERT INTO dapr_state (key, value, etag, created_at, updated_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s)",
                    row,
                )


def store_of(system: RunningSystem) -> EngineStore:
    """The store of this stack."""
    if system.state.ledger == "postgresql":
        return PostgresqlStore(system.state.ledger_url)
    return ValkeyStore(system.state.redis_host)


def spoil(system: RunningSystem, instance_id: str) -> None:
    """Kill daprd, and lose a part of what its store has of an instance."""
    before = system.stack.kill("daprd")
    store_of(system).lose_beginning(instance_id)
    eventually(lambda: system.stack.process("daprd").pid not in (before, None), 30, "another daprd was started")
    system.stack.wait_ready(90)


def put_engine_back(system: RunningSystem, copied: Any) -> None:
    """Kill daprd, exchange its store, and wait until all is ready again."""
    store_of(system).put_back(copied)
    before = system.stack.kill("daprd")
    store_of(system).put_back(copied)  # what it wrote while it died
    eventually(lambda: system.stack.process("daprd").pid not in (before, None), 30, "another daprd was started")
    system.stack.wait_ready(90)
