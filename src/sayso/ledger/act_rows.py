"""Rows of `acts`: what somebody asked for and the engine is to be told, in the order of a case's acts.

In: an instance and an act. Out: a row that is due. Every act may be told twice, because an answer may be lost.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import bindparam, insert, select

from sayso.ledger.audit import SYSTEM
from sayso.ledger.database import Transaction
from sayso.ledger.schema import acts, cases


class Act(StrEnum):
    """What the engine is told."""

    SUSPEND = "suspend"
    RESUME = "resume"
    TERMINATE = "terminate"
    PURGE = "purge"


ASKED, DONE, VOID = "asked", "done", "void"


def add_act(tx: Transaction, act: Act, instance_id: str, *, reason: str, actor: str = SYSTEM) -> int:
    """Have the dispatcher tell the engine; returns the act's number."""
    values = {
        "instance_id": instance_id,
        "act": act.value,
        "actor": actor,
        "reason": reason,
        "asked_at_ms": tx.now_ms,
        "state": ASKED,
        "attempts": 0,
        "due_at_ms": tx.now_ms,
    }
    return int(tx.run(_INSERT.returning(acts.c.seq), values).scalar_one())


def is_asked(tx: Transaction, instance_id: str) -> bool:
    """Whether something is still to be told about this instance."""
    return tx.one(_ASKED, {"instance_id": instance_id}) is not None


def let_go(tx: Transaction, instance_id: str) -> None:
    """A case that closes while it is suspended, or is to be, must end in the engine too."""
    case = tx.one(_SUSPENDED, {"instance_id": instance_id})
    if case is not None:
        add_act(tx, Act.RESUME, instance_id, reason="its case has ended")


_INSERT = insert(acts)
_ASKED = select(acts.c.seq).where(acts.c.instance_id == bindparam("instance_id"), acts.c.state == ASKED).limit(1)
_SUSPENDED = select(cases.c.instance_id).where(cases.c.instance_id == bindparam("instance_id"), cases.c.suspended_at_ms.isnot(None))
