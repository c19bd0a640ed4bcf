"""Driving: which cases need an engine call, and what came of it.

In: cases that are due. Out: leased jobs with everything a call needs, and the transaction that records the answer. A case is leased
as a whole, so its events are raised by one dispatcher at a time, in ledger order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, update

from sayso.contracts.workflow_io import RaisedEvent
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.schema import cases, events
from sayso.ledger.statements import lease
from sayso.ledger.states import EventState


@dataclass(frozen=True)
class Job:
    """One leased case: start it if `start`, then raise `events` in order."""

    instance_id: str
    workflow: str
    key: str
    start: bool
    input: dict[str, Any]
    attempts: int
    events: tuple[RaisedEvent, ...]


def lease_jobs(tx: Transaction, lease_ms: int, limit: int) -> list[Job]:
    """Lease due cases with their undelivered events."""
    values = {"now_ms": tx.now_ms, "until_ms": tx.now_ms + lease_ms, "max_rows": limit}
    leased = tx.all(_lease_cases(tx.dialect), values)
    if not leased:
        return []
    undelivered: dict[str, list[RaisedEvent]] = {row.instance_id: [] for row in leased}
    for row in tx.all(_UNDELIVERED, {"instance_ids": list(undelivered)}):
        undelivered[row.instance_id].append(
            RaisedEvent(
                seq=row.seq,
                identity=row.identity,
                name=row.event_name,
                received_at=moment(row.received_at_ms),
                data=json.loads(row.payload),
            )
        )
    return [
        Job(
            row.instance_id,
            row.workflow,
            row.key,
            row.phase == "starting",
            json.loads(row.input) if row.phase == "starting" else {},
            row.attempts,
            tuple(undelivered[row.instance_id]),
        )
        for row in leased
    ]


def settle(tx: Transaction, job: Job, *, started: bool, raised: Sequence[int], error: str | None, delay_ms: int) -> bool:
    """Record what the engine took. Returns whether the case is due again at once, because more events came meanwhile.

    The case's lock comes first: an event that is being bound to the case right now is either seen here, or makes the case due.
    """
    lock_case_key(tx, job.workflow, job.key)
    if raised:
        reason = f"raised to {job.instance_id}"
        tx.run(_MARK_DELIVERED, {"seqs": list(raised), "updated_at_ms": tx.now_ms, "reason": reason})
    more = tx.one(_ANY_UNDELIVERED, {"instance_id": job.instance_id})
    values: dict[str, Any] = {"this_case": job.instance_id, "last_error": error[:500] if error else None}
    if error is not None:
        values["due_at_ms"] = tx.now_ms + delay_ms
    else:
        values |= {"due_at_ms": tx.now_ms if more else None, "attempts": 0}
    if started:
        values |= {"phase": "running", "started_at_ms": tx.now_ms, "updated_at_ms": tx.now_ms}
    tx.run(_SETTLE_CASE, values)
    return more is not None and error is None


_UNDELIVERED = (
    select(
        events.c.seq,
        events.c.instance_id,
        events.c.identity,
        events.c.event_name,
        events.c.payload,
        events.c.received_at_ms,
    )
    .where(events.c.instance_id.in_(bindparam("instance_ids", expanding=True)), events.c.state == EventState.DELIVERING.value)
    .order_by(events.c.seq)
)
_ANY_UNDELIVERED = (
    select(events.c.seq)
    .where(events.c.instance_id == bindparam("instance_id"), events.c.state == EventState.DELIVERING.value)
    .limit(1)
)
_MARK_DELIVERED = (
    update(events)
    .where(events.c.seq.in_(bindparam("seqs", expanding=True)), events.c.state == EventState.DELIVERING.value)
    .values(state=EventState.DELIVERED.value)
)
_SETTLE_CASE = update(cases).where(cases.c.instance_id == bindparam("this_case"), cases.c.phase != "closed")


@cache
def _lease_cases(dialect: str) -> Any:
    statement = lease(dialect, cases, identify_by=cases.c.instance_id, order_by=cases.c.due_at_ms)
    return statement.returning(cases.c.instance_id, cases.c.workflow, cases.c.key, cases.c.phase, cases.c.input, cases.c.attempts)
