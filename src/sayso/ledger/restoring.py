"""Restoring: what a ledger that was put back to an earlier state must find out before it goes on.

In: a ledger whose rows came from a backup. Out: marks in `ledger_info`, on which the reconciler asks the engine for every instance
that this ledger does not know, and compares each open case step by step.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import bindparam, delete, select, text, update

from sayso.contracts.engine_ids import case_of_engine_id
from sayso.errors import TransientError
from sayso.ledger.database import Transaction
from sayso.ledger.driving import RUNNING, STARTING
from sayso.ledger.schema import cases, events, ledger_info
from sayso.ledger.statements import upsert

NUMBERS_LEFT_OUT = 1_000_000
"""Between the backup's last event and the next one: numbers given after the backup, which the engine remembers, must not come back."""
LEDGER_ID, SURVEY, RESTORED_AT = "ledger_id", "survey", "restored_at_ms"


def mark_restored(tx: Transaction) -> None:
    """Everything is to be compared; no instance is started before the engine was asked for it."""
    _set(tx, SURVEY, "wanted")
    _set(tx, RESTORED_AT, str(tx.now_ms))
    tx.run(update(cases).where(cases.c.phase == STARTING, cases.c.attempts == 0).values(attempts=1))
    tx.run(update(cases).where(cases.c.phase == RUNNING).values(check_at_ms=tx.now_ms))
    last = tx.run(select(events.c.seq).order_by(events.c.seq.desc()).limit(1)).scalar() or 0
    if tx.dialect == "sqlite":
        tx.run(text("DELETE FROM sqlite_sequence WHERE name = 'events'"))
        tx.run(text("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', :last)"), {"last": last + NUMBERS_LEFT_OUT})
    else:
        tx.run(text("SELECT setval(pg_get_serial_sequence('events', 'seq'), :last)"), {"last": last + NUMBERS_LEFT_OUT})


def restored_at_ms(tx: Transaction) -> int | None:
    """When the ledger was restored last, by its own clock then."""
    found = tx.one(_INFO, {"info": RESTORED_AT})
    return int(found.value) if found is not None else None


def survey_wanted(tx: Transaction) -> bool:
    """Whether the engine is to be asked for every instance that the ledger does not know."""
    return tx.one(_INFO, {"info": SURVEY}) is not None


def survey_done(tx: Transaction) -> None:
    """The ledger knows all of them."""
    tx.run(delete(ledger_info).where(ledger_info.c.name == SURVEY))


def ask_for_survey(tx: Transaction, instance_id: str) -> bool:
    """A step of an instance that the ledger does not know: if it is one of its own, it was lost by a restore. Whether that is so."""
    mine = tx.one(_INFO, {"info": LEDGER_ID})
    if mine is None or not instance_id.endswith(f"-{mine.value}"):
        return False
    _set(tx, SURVEY, "wanted")
    return True


def unknown_of(tx: Transaction, instance_ids: Collection[str]) -> set[str]:
    """Those of them that carry this ledger's id, and that it does not know."""
    mine = tx.one(_INFO, {"info": LEDGER_ID})
    ours = {one for one in instance_ids if mine is not None and case_of_engine_id(one).endswith(f"-{mine.value}")}
    known = {row.instance_id for row in tx.all(_KNOWN, {"instance_ids": [case_of_engine_id(one) for one in ours]})}
    return {one for one in ours if case_of_engine_id(one) not in known}


def not_yet(instance_id: str) -> TransientError:
    """What a step is told whose case will be known soon."""
    return TransientError(f"{instance_id} is not in the ledger yet: it was restored, and asks the engine what it lacks")


def _set(tx: Transaction, name: str, value: str) -> None:
    insert = upsert(tx.dialect, ledger_info)
    tx.run(insert.on_conflict_do_update(index_elements=["name"], set_={"value": value}), {"name": name, "value": value})


_INFO = select(ledger_info.c.value).where(ledger_info.c.name == bindparam("info"))
_KNOWN: Any = select(cases.c.instance_id).where(cases.c.instance_id.in_(bindparam("instance_ids", expanding=True)))
