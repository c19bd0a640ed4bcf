"""Which bindings the running processes have loaded: the digest of the file, written when they start.

In: a digest. Out: the same, for commands that read the file of today and would foretell by it what the processes do otherwise.
"""

from __future__ import annotations

from sqlalchemy import select

from sayso.ledger.database import Transaction
from sayso.ledger.schema import ledger_info
from sayso.ledger.statements import upsert

NAME = "bindings"


def note_bindings(tx: Transaction, digest: str) -> None:
    """These are loaded from now on."""
    insert = upsert(tx.dialect, ledger_info)
    row = {"name": NAME, "value": digest}
    tx.run(insert.on_conflict_do_update(index_elements=[ledger_info.c.name], set_={"value": insert.excluded.value}), row)


def loaded_bindings(tx: Transaction) -> str | None:
    """What was loaded last; None before any process has."""
    found = tx.one(select(ledger_info.c.value).where(ledger_info.c.name == NAME))
    return str(found.value) if found is not None else None
