"""Opening the ledger: migrations first, then the ledger's own random id.

In: a URL. Out: a `Ledger` whose tables are those of this version. Safe when several processes start at once.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import structlog
from filelock import FileLock
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from sayso.errors import ConfigurationError, TransientError
from sayso.ledger.database import Ledger, Transaction
from sayso.ledger.schema import ledger_info
from sayso.ledger.statements import upsert

log = structlog.get_logger()
PATIENCE_SECONDS = 120.0
"""How long a process that is started waits for its database: longer than a restart of it takes."""
PAUSE_SECONDS = 1.0
MIGRATION_LOCK = 7_297_296  # any number that nobody else uses as an advisory lock in this database


def open_ledger(url: str, patience_seconds: float = 0) -> Ledger:
    """Open the ledger at `url`, created or migrated when needed. A server that is starting or stopping is waited for so long."""
    ledger = Ledger(url)
    until = time.monotonic() + patience_seconds
    while True:  # ends with the patience
        try:
            upgrade(ledger)
            ledger.transact(_claim_id)
        except (OperationalError, TransientError) as error:
            if time.monotonic() > until:
                ledger.close()
                raise
            log.warning("waiting for the ledger's database", error=str(error).partition("\n")[0])
            time.sleep(PAUSE_SECONDS)
        else:
            return ledger


def upgrade(ledger: Ledger) -> None:
    """Bring the tables to this version; one process at a time."""
    if ledger.dialect == "sqlite":
        path = Path(make_url(ledger.url).database or "")
        with FileLock(path.with_name(path.name + ".migration.lock"), timeout=120):
            _migrate(ledger)
        return
    with ledger.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": MIGRATION_LOCK})
        connection.commit()
        try:
            _migrate(ledger)
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": MIGRATION_LOCK})
            connection.commit()


def read_ledger_id(ledger: Ledger) -> str:
    """The ledger's own random id: six hex digits, made once."""
    found = ledger.read(lambda tx: tx.one(select(ledger_info.c.value).where(ledger_info.c.name == "ledger_id")))
    if found is None:
        raise ConfigurationError(f"the ledger {ledger.url} was never opened by Sayso; start the stack first: sayso up")
    return str(found.value)


def _claim_id(tx: Transaction) -> None:
    row = {"name": "ledger_id", "value": secrets.token_hex(3)}
    tx.run(upsert(tx.dialect, ledger_info).on_conflict_do_nothing(), row)


def _migrate(ledger: Ledger) -> None:
    from alembic import command  # noqa: PLC0415 - half a second that a command which only reads need not wait
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = ledger.engine
    command.upgrade(config, "head")
