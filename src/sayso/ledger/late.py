"""The answer to a late event: what its binding says is published when no case used it.

In: an event that comes to rest as `late`, `unclaimed` or `expired`. Out: at most one event on the outbox, in the same transaction.
Invariant: its id is made from the late event's identity, and the row keeps it: however often the event is resent, expires or is
replayed, the answer goes out once, and what has been answered is never used any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sayso.contracts.claim import make_lighter
from sayso.correlation.treatment import Answer
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import publish
from sayso.ledger.states import EventState

TOO_LATE = frozenset({EventState.LATE, EventState.UNCLAIMED, EventState.EXPIRED})
"""Nobody used the event, and nobody will unless it is sent again."""


def answer_late(tx: Transaction, event: Mapping[str, Any]) -> str | None:
    """Publish the answer to this row if it is owed one; returns the answer's id, the same each time."""
    answered_by: str | None = event["answered_by"]
    if answered_by is not None or event["on_late"] is None or event["state"] not in TOO_LATE:
        return answered_by
    answer = Answer.parse(event["on_late"])
    answer_id = f"late:{event['identity']}"
    publish(
        tx,
        event_id=answer_id,
        topic=answer.topic,
        event_type=answer.type,
        key=event["key"],
        instance_id=event["instance_id"],
        data={
            **make_lighter(json.loads(event["payload"]))[0],  # a broker takes 1 MB; the ledger has the whole event
            "case": event["instance_id"],
            "idempotency_key": answer_id,
            "answers": {
                "source": event["source"],
                "id": event["event_id"],
                "type": event["type"],
                "state": event["state"],
                "reason": event["reason"],
            },
        },
    )
    return answer_id
