"""Closing a case: its outcome, and what becomes of the events that it did not use (ARCHITECTURE, invariant 4).

In: an open case and how it ended. Out: the case closed, its open tasks cancelled, its unused events `unclaimed`, its outcome in the
outbox: all in the caller's transaction.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, update

from sayso.contracts.workflow_io import CaseRef, Closing
from sayso.ledger import audit
from sayso.ledger.act_rows import let_go
from sayso.ledger.database import Transaction
from sayso.ledger.event_rows import move
from sayso.ledger.outbox import moment, publish
from sayso.ledger.schema import cases, events, tasks
from sayso.ledger.statements import fixed, locked
from sayso.ledger.states import MATTERS_TO_A_CASE, EventState


def close_case(tx: Transaction, ref: CaseRef, closing: Closing, opened_at_ms: int, ended_as: str | None = None) -> None:
    """Close the case, mark what it did not use, and tell everyone. The caller holds the lock and knows that the case is open.

    `ended_as` is how the engine calls an end that is not the workflow's own. A suspended case is let go, so that it ends there too.
    """
    _mark_unclaimed(tx, ref)
    let_go(tx, ref.instance_id)
    tx.run(_CANCEL_TASKS, {"this_case": ref.instance_id})
    values = {
        "this_case": ref.instance_id,
        "phase": "closed",
        "stage": None,
        "outcome": closing.outcome.value,
        "result": json.dumps(closing.result),
        "reason": closing.reason,
        "milestones": json.dumps(closing.milestones),
        "closed_at_ms": tx.now_ms,
        "updated_at_ms": tx.now_ms,
        "due_at_ms": None,
        "check_at_ms": None,
        "finding": None,
        "last_error": None,
        "suspended_at_ms": None,
        "ended_as": ended_as,
    }
    tx.run(_UPDATE_CASE, values)
    publish(
        tx,
        event_id=f"{ref.instance_id}:closed",
        topic="outcomes",
        event_type="sayso.case.closed.v1",
        key=ref.key,
        instance_id=ref.instance_id,
        data={
            "case": ref.instance_id,
            "workflow": ref.workflow,
            "key": ref.key,
            "generation": ref.generation,
            "outcome": closing.outcome.value,
            "result": closing.result,
            "reason": closing.reason,
            "milestones": closing.milestones,
            "opened_at": moment(opened_at_ms).isoformat(),
            "closed_at": moment(tx.now_ms).isoformat(),
        },
    )
    audit.record(tx, "case-closed", instance_id=ref.instance_id, outcome=closing.outcome.value, reason=closing.reason)


def _mark_unclaimed(tx: Transaction, ref: CaseRef) -> None:
    for row in tx.all(_lock_left(tx.dialect), {"instance_id": ref.instance_id}):
        move(tx, row, EventState.UNCLAIMED, f"{ref.instance_id} ended without using it")


_UPDATE_CASE = update(cases).where(cases.c.instance_id == bindparam("this_case"))
_OPEN_TASKS = update(tasks).where(tasks.c.instance_id == bindparam("this_case"), tasks.c.state == fixed("open"))
_CANCEL_TASKS = _OPEN_TASKS.values(state="cancelled")


@cache
def _lock_left(dialect: str) -> Any:
    unused = events.c.state.in_([state.value for state in MATTERS_TO_A_CASE])
    return locked(dialect, select(events).where(events.c.instance_id == bindparam("instance_id"), unused))
