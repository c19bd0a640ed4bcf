"""Backup: every row of every table, as it was in one moment, in one SQLite file; and back into a ledger of either kind.

In: a ledger, a file. Out: the file, whole or not at all; or a ledger with exactly its rows, marked as restored. A backup is taken
while the ledger is in use. Restoring is one transaction, so that a crash leaves the ledger as it was.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from functools import partial
from pathlib import Path

from sqlalchemy import delete, func, insert, select, text

from sayso.errors import ConfigurationError
from sayso.ledger.database import Ledger, Transaction
from sayso.ledger.opening import open_ledger
from sayso.ledger.restoring import mark_restored
from sayso.ledger.schema import events, metadata

BATCH = 500


def back_up(ledger: Ledger, file: Path) -> int:
    """Write the backup to `file`, which must not exist; returns how many events are in it."""
    if file.exists():
        raise ConfigurationError(f"{file} exists already; name another file")
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".sayso-backup-") as folder:
            return _write(ledger, file, Path(folder) / "ledger.db")
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be written there ({error.strerror})") from error


def _write(ledger: Ledger, file: Path, draft: Path) -> int:
    copy = open_ledger(f"sqlite:///{draft}")
    try:
        count = ledger.read(lambda source: copy.transact(partial(_copy, source)))
    finally:
        copy.close()  # the last connection takes the write-ahead log with it
    draft.chmod(0o600)
    draft.rename(file)
    return count


def restore(ledger: Ledger, file: Path, *, replace: bool) -> int:
    """Give the ledger the rows of the backup; returns how many events it has. `replace`: also if it has events of its own."""
    refuse_no_file(file)
    with tempfile.TemporaryDirectory(prefix="sayso-restore-") as folder:
        draft = Path(folder) / "ledger.db"
        shutil.copy(file, draft)
        _refuse_other_files(draft, file)
        copy = open_ledger(f"sqlite:///{draft}")  # a backup of an earlier version gets today's tables
        try:
            return copy.read(lambda source: ledger.transact(partial(_take_over, source, replace=replace)))
        finally:
            copy.close()


def refuse_no_file(file: Path) -> None:
    """What is asked before a ledger is opened, which would make one."""
    if not file.is_file():
        raise ConfigurationError(f"there is no file {file}")


def _refuse_other_files(draft: Path, file: Path) -> None:
    connection = sqlite3.connect(draft)
    try:
        connection.execute("SELECT value FROM ledger_info WHERE name = 'ledger_id'").fetchone()
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"{file} is no backup of a ledger: {error}") from error
    finally:
        connection.close()


def _take_over(source: Transaction, target: Transaction, *, replace: bool) -> int:
    there = target.run(select(func.count()).select_from(events)).scalar_one()
    if there and not replace:
        raise ConfigurationError(f"the ledger has {there} events, which would be lost; to replace them all: --replace")
    count = _copy(source, target)
    mark_restored(target)
    return count


def _copy(source: Transaction, target: Transaction) -> int:
    for table in reversed(metadata.sorted_tables):
        target.run(delete(table))
    for table in metadata.sorted_tables:
        found = source.connection.execution_options(yield_per=BATCH).execute(select(table).order_by(*table.primary_key.columns))
        for rows in found.partitions(BATCH):
            target.run(insert(table), [dict(row._mapping) for row in rows])
        number = table.autoincrement_column
        if target.dialect == "postgresql" and number is not None and not number.foreign_keys:
            last = f"SELECT setval(pg_get_serial_sequence('{table.name}', '{number.name}'), max({number.name})) FROM {table.name}"  # noqa: S608 - our own names
            target.run(text(last))
    return int(target.run(select(func.count()).select_from(events)).scalar_one())
