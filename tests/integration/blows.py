"""Blows to one process of a stack at a moment that a test chooses: held still meanwhile, ended, not started again for a while.

In: a running system. Out: what was held goes on when its block ends, also by an error.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import valkey
from running_system import RunningSystem
from waiting import eventually

BACK_SECONDS = 90.0


@contextmanager
def held_still(system: RunningSystem, name: str) -> Iterator[psutil.Process]:
    """The process does nothing until the block ends; with its children, because PostgreSQL answers through them."""
    process = system.stack.processes()[name]
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.suspend()
    try:
        yield process
    finally:
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.resume()


@contextmanager
def not_started_again(system: RunningSystem) -> Iterator[None]:
    """What ends in this block stays away until it is over: the supervisor is held still."""
    supervisor = psutil.Process(system.state.supervisor_pid)
    supervisor.suspend()
    try:
        yield
    finally:
        supervisor.resume()


def back(system: RunningSystem, name: str, before: int) -> None:
    """Wait until another process of this name runs, and all is ready."""
    eventually(lambda: system.stack.process(name).pid not in (before, None), BACK_SECONDS, f"another {name} was started")
    system.stack.wait_ready(BACK_SECONDS)


@contextmanager
def ledger_locked(system: RunningSystem) -> Iterator[None]:
    """Nobody commits to the SQLite ledger until the block ends."""
    connection = sqlite3.connect(system.state.ledger_url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def inbox_of(system: RunningSystem, instance_id: str) -> list[bytes]:
    """The keys of the events that daprd has saved for this instance and not worked on yet."""
    host, _, port = system.state.redis_host.rpartition(":")
    with valkey.Valkey(host=host, port=int(port), socket_timeout=10) as client:
        return list(client.scan_iter(f"sayso||dapr.internal.*.workflow||{instance_id}||inbox-*", count=1_000))
