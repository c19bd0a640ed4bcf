"""Moving an event from state to state: every change is checked against the table, every reason kept, every failure published."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, update

from sayso.ledger import audit
from sayso.ledger.database import Transaction
from sayso.ledger.late import answer_late
from sayso.ledger.outbox import publish_dead_letter
from sayso.ledger.schema import events
from sayso.ledger.states import FAILED, EventState, IllegalTransitionError, check_transition

_UPDATE = update(events).where(events.c.seq == bindparam("this_seq"))


def move(tx: Transaction, row: Row[Any], state: EventState, reason: str, **values: Any) -> EventState:
    """Put the event of `row` into `state` and write `values` with it; a failed one is audited and goes to the dead letters.

    What was answered because it came too late is never `received` again: the answer, a refund say, stands.
    """
    check_transition(EventState(row.state), state)
    if state is EventState.RECEIVED and row.answered_by is not None:
        raise IllegalTransitionError(f"event {row.seq} must not be used any more: {answered(row)}")
    changed = {"due_at_ms": None, **values, "state": state.value, "reason": reason, "updated_at_ms": tx.now_ms}
    if state in FAILED:
        changed["answered_by"] = answer_late(tx, {**row._mapping, **changed})
        publish_dead_letter(tx, {**row._mapping, **changed})
        audit.record(tx, f"event-{state}", instance_id=changed.get("instance_id") or row.instance_id, event_seq=row.seq, reason=reason)
    tx.run(_UPDATE, {"this_seq": row.seq, **changed})
    return state


def drive_again(tx: Transaction, row: Row[Any], reason: str, **values: Any) -> EventState:
    """Put a failed event back to `received`: a resend, or a person's replay."""
    return move(tx, row, EventState.RECEIVED, reason, due_at_ms=tx.now_ms, attempts=0, **values)


def answered(row: Row[Any]) -> str | None:
    """Why the event is not driven again, whoever asks; None when nothing was published because it came too late."""
    return f"it came too late and was answered by {row.answered_by}" if row.answered_by is not None else None
