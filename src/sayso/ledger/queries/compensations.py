"""Reading what sagas could not undo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.schema import cases, compensations


@dataclass(frozen=True)
class CompensationView:
    """One undo that failed; `booking` is None when nobody knows what the step had done."""

    case: str
    workflow: str
    key: str
    step: str
    undo: str
    error: str
    booking: Any
    failed_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    settled_reason: str | None


def list_compensations(
    tx: Transaction, *, limit: int, instance_id: str | None = None, also_settled: bool = False
) -> list[CompensationView]:
    """Those that are not settled (or all), the oldest first; of one case, or of every case."""
    query = select(compensations, cases.c.workflow, cases.c.key).join(cases, cases.c.instance_id == compensations.c.instance_id)
    if instance_id is not None:
        query = query.where(compensations.c.instance_id == instance_id)
    if not also_settled:
        query = query.where(compensations.c.settled_at_ms.is_(None))
    return [
        CompensationView(
            case=row.instance_id,
            workflow=row.workflow,
            key=row.key,
            step=row.step,
            undo=row.undo,
            error=row.error,
            booking=json.loads(row.booking) if row.booking is not None else None,
            failed_at=moment(row.failed_at_ms),
            settled_at=moment(row.settled_at_ms) if row.settled_at_ms is not None else None,
            settled_by=row.settled_by,
            settled_reason=row.settled_reason,
        )
        for row in tx.all(query.order_by(compensations.c.failed_at_ms, compensations.c.step).limit(limit))
    ]
