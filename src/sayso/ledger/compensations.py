"""Compensations that failed: an undo of a saga that its service would not do, kept until a person has settled it.

In: what a saga could not undo, in its step's transaction; later a person's word that it is settled. Out: a row, an alert event, audit
entries. Invariant: each is settled once, by somebody, for a reason.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy import bindparam, or_, select, update

from sayso.contracts.workflow_io import CaseRef, Unsettled
from sayso.errors import RefusedError
from sayso.ledger import audit
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment, publish
from sayso.ledger.schema import compensations
from sayso.ledger.statements import locked, upsert


def report_unsettled(tx: Transaction, case: CaseRef, unsettled: Unsettled) -> None:
    """Keep it and tell everyone. The caller holds the lock of the case."""
    row = {
        "instance_id": case.instance_id,
        "step": unsettled.step,
        "undo": unsettled.undo,
        "error": unsettled.error,
        "booking": json.dumps(unsettled.booking) if unsettled.booking is not None else None,
        "failed_at_ms": tx.now_ms,
    }
    tx.run(upsert(tx.dialect, compensations).on_conflict_do_nothing(), row)
    publish(
        tx,
        event_id=f"{case.instance_id}:undo-failed:{unsettled.step}",
        topic="alerts",
        event_type="sayso.saga.compensation-failed.v1",
        key=case.key,
        instance_id=case.instance_id,
        data={
            "case": case.instance_id,
            "workflow": case.workflow,
            "key": case.key,
            **unsettled.model_dump(mode="json"),
            "failed_at": moment(tx.now_ms).isoformat(),
        },
    )
    told = unsettled.model_dump(include={"step", "undo", "error"})
    audit.record(tx, "compensation-failed", instance_id=case.instance_id, channel="saga", **told)


def settle(tx: Transaction, case: CaseRef, step: str, *, actor: str, reason: str) -> str:
    """A person has settled it with the service; `step` is its name or its undo's. Gives the step's name.

    `RefusedError` when there is nothing of that name, or it is settled.
    """
    lock_case_key(tx, case.workflow, case.key)
    row = tx.one(_one(tx.dialect), {"instance_id": case.instance_id, "step": step})
    if row is None:
        raise RefusedError(f"{case.instance_id} has no failed compensation {step}; see: sayso saga list")
    if row.settled_at_ms is not None:
        raise RefusedError(f"{row.step} was settled by {row.settled_by} already: {row.settled_reason}")
    values = {"settled_at_ms": tx.now_ms, "settled_by": actor, "settled_reason": reason}
    tx.run(_SETTLE, {"this_case": case.instance_id, "this_step": row.step, **values})
    audit.record(tx, "compensation-settled", actor=actor, channel="cli", instance_id=case.instance_id, step=row.step, reason=reason)
    return str(row.step)


_SETTLE = update(compensations).where(
    compensations.c.instance_id == bindparam("this_case"), compensations.c.step == bindparam("this_step")
)


@cache
def _one(dialect: str) -> Any:
    named = or_(compensations.c.step == bindparam("step"), compensations.c.undo == bindparam("step"))
    return locked(dialect, select(compensations).where(compensations.c.instance_id == bindparam("instance_id"), named))
