"""Opening a ledger only to read it.

In: its URL. Out: a `Ledger` of this version's tables. Invariant: asking a question never creates or changes a ledger; one that is
missing, old or new is an error that says what to do.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

import sayso.ledger
from sayso.errors import ConfigurationError
from sayso.ledger.database import Ledger, Transaction

MIGRATIONS = Path(sayso.ledger.__file__).parent / "migrations"
_REVISION = re.compile(r'^revision = "(\w+)"', re.MULTILINE)
_DOWN_REVISION = re.compile(r'^down_revision = "(\w+)"', re.MULTILINE)

NOT_UNDERSTOOD = "SAYSO_LEDGER_URL is not understood; use sqlite:///PATH or postgresql+psycopg://USER@HOST:PORT/DATABASE"
"""Without the URL itself, which may hold a password."""


def open_for_reading(url: str) -> Ledger:
    """Open the ledger at `url`, or raise `ConfigurationError` when there is none, or not one of this version."""
    place = place_of(url)
    if place.get_backend_name() == "sqlite" and place.database and not Path(place.database).is_file():
        raise no_ledger(place)
    ledger = Ledger(url)
    try:
        _check_version(ledger.read(_version), place)
    except BaseException:
        ledger.close()
        raise
    return ledger


def place_of(url: str) -> URL:
    """The parsed URL; its text form hides the password."""
    try:
        place = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(NOT_UNDERSTOOD) from error
    if place.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(NOT_UNDERSTOOD)
    return place


def in_words(place: URL) -> str:
    """A file's path or a server's URL, without its password."""
    is_file = place.get_backend_name() == "sqlite" and place.database is not None
    return str(place.database) if is_file else place.render_as_string(hide_password=True)


def no_ledger(place: URL) -> ConfigurationError:
    """What is said when there is nothing to read."""
    return ConfigurationError(f"no ledger at {in_words(place)}; start the stack: sayso up (or set SAYSO_STATE_DIR, SAYSO_LEDGER_URL)")


def _version(tx: Transaction) -> str | None:
    if not inspect(tx.connection).has_table("alembic_version"):
        return None
    row = tx.one(text("SELECT version_num FROM alembic_version"))
    return str(row[0]) if row is not None else None


def _check_version(version: str | None, place: URL) -> None:
    if version is None:
        raise no_ledger(place)
    known, newest = _known_versions()
    if version == newest:
        return
    advice = "upgrade it: sayso ledger upgrade" if version in known else "it was written by a newer Sayso; use that one"
    raise ConfigurationError(f"the ledger at {in_words(place)} has tables of version {version}: {advice}")


def _known_versions() -> tuple[frozenset[str], str]:
    """All versions, and the one that no other follows. Their names need not be in order, and Alembic takes half a second to load."""
    texts = [path.read_text(encoding="utf-8") for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")]
    versions = frozenset(match[1] for text in texts if (match := _REVISION.search(text)))
    followed = {match[1] for text in texts if (match := _DOWN_REVISION.search(text))}
    (newest,) = versions - followed
    return versions, newest
