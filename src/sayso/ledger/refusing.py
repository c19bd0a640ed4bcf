"""Refusals go back to whoever sent the decision: one event on `refusals` for each, in the transaction that refuses it.

Bounded: a case is given so many events of a name and no more (`quotas`), and only what it was given is answered here.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from sayso.contracts.catalog import CHANGE_EVENT, DECISION_EVENTS, WITHDRAW_EVENT
from sayso.contracts.workflow_io import CaseRef
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment, publish

WORDS_OF_PEOPLE = (*DECISION_EVENTS, WITHDRAW_EVENT, CHANGE_EVENT)
"""The event names of what a person says; a payment has no sender who waits for an answer."""
SAYS_WHO = ("approver", "requester", "by", "actor")


def tell_refused(tx: Transaction, case: CaseRef, row: Row[Any], reason: str) -> None:
    """Answer the sender of this event."""
    said = json.loads(row.payload or "{}")
    publish(
        tx,
        event_id=f"{case.instance_id}:refused:{row.seq}",
        topic="refusals",
        event_type="sayso.decision.refused.v1",
        key=case.key,
        instance_id=case.instance_id,
        data={
            "case": case.instance_id,
            "workflow": case.workflow,
            "key": case.key,
            "source": row.source,
            "id": row.event_id,
            "type": row.type,
            "by": next((said[name] for name in SAYS_WHO if said.get(name)), None),
            "reason": reason,
            "refused_at": moment(tx.now_ms).isoformat(),
        },
    )
