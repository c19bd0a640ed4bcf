"""Moving an event from state to state: every change is checked against the table, every reason kept, every failure published."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, update

from sayso.ledger import audit
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import publish_dead_letter
from sayso.ledger.schema import events
from sayso.ledger.states import FAILED, EventState, check_transition

_UPDATE = update(events).where(events.c.seq == bindparam("this_seq"))


def move(tx: Transaction, row: Row[Any], state: EventState, reason: str, **values: Any) -> EventState:
    """Put the event of `row` into `state` and write `values` with it; a failed one is audited and goes to the dead letters."""
    check_transition(EventState(row.state), state)
    changed = {"due_at_ms": None, **values, "state": state.value, "reason": reason, "updated_at_ms": tx.now_ms}
    tx.run(_UPDATE, {"this_seq": row.seq, **changed})
    if state in FAILED:
        publish_dead_letter(tx, {**row._mapping, **changed})
        audit.record(tx, f"event-{state}", instance_id=changed.get("instance_id") or row.instance_id, event_seq=row.seq, reason=reason)
    return state
