"""Adopting: events that the engine has and the ledger has not get their row, so that they are known from then on.

In: an event as it was raised, and the rules by which it may have been. Out: its number in this ledger. It happens to what was raised
past the ledger, when a workflow used it, and to what came after a backup that was restored. Its bytes are gone; its identity is not:
a repetition is recognised, and when no case uses it, it is answered as they say (`late.py`): a payment is given back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, insert, select

from sayso.contracts.workflow_io import CaseInput, CaseRef, RaisedEvent
from sayso.correlation.bindings import Binding
from sayso.ledger.database import Transaction
from sayso.ledger.event_rows import drive_again, move
from sayso.ledger.schema import events
from sayso.ledger.states import FAILED, EventState

DIRECT, RECOVERED, OPERATOR = "dapr-api", "recovered", "operator"
"""In place of the topic: raised past the ledger; lost by the ledger and found in the engine; an operator's act."""


def adopt(tx: Transaction, case: CaseRef, event: RaisedEvent, rules: Sequence[Binding] = ()) -> int:
    """The event's row for this case; made when there is none. The caller holds the case's lock."""
    known = _known(tx, event.identity)
    if known is not None:
        _give_back(tx, known, case, event, rules)
        return int(known.seq)
    received_at_ms = int(event.received_at.timestamp() * 1000) if event.received_at is not None else tx.now_ms
    values = {
        **_row(tx, case, RECOVERED if event.seq is not None else DIRECT, event.identity, event.data),
        **_as_bound(rules),
        "event_name": event.name,
        "payload": json.dumps(event.data),
        "received_at_ms": received_at_ms,
        "state": EventState.DELIVERED.value,
        "reason": f"raised to {case.instance_id}, and found there",
    }
    if event.seq is not None and tx.one(_EVENT, {"seq": event.seq}) is None:
        values["seq"] = event.seq
    return int(tx.run(_INSERT.returning(events.c.seq), values).scalar_one())


def adopt_start(tx: Transaction, given: CaseInput) -> int | None:
    """The row of the event that opened the case, None when its input does not say which it was."""
    if given.opened_by is None:
        return None
    known = _known(tx, given.opened_by)
    if known is not None:
        return int(known.seq)
    values = {
        **_row(tx, given.case, RECOVERED, given.opened_by, given.request),
        "state": EventState.STARTED.value,
        "reason": f"opened {given.case.instance_id}, which was found in the engine",
        "received_at_ms": int(given.case.opened_at.timestamp() * 1000),
    }
    return int(tx.run(_INSERT.returning(events.c.seq), values).scalar_one())


def _give_back(tx: Transaction, known: Row[Any], case: CaseRef, event: RaisedEvent, rules: Sequence[Binding]) -> None:
    """A row that a restore put back to before its event was raised belongs to the case again.

    What had failed then was sent or replayed once more after the backup; left as failed, somebody might replay what was used.
    """
    given: dict[str, Any] = {"instance_id": case.instance_id}
    judged = known.instance_id == case.instance_id and known.event_name is not None  # this very case has refused it
    if known.state in FAILED and not judged and known.answered_by is None:
        drive_again(tx, known, f"raised to {case.instance_id} after the backup; was {known.state}: {known.reason}")
        known = _known(tx, event.identity) or known
    if known.state == EventState.RECEIVED:
        given |= {"workflow": case.workflow, "key": case.key, "event_name": event.name, "payload": json.dumps(event.data)}
        given |= _as_bound(rules)
    if known.state in (EventState.RECEIVED, EventState.HELD):
        move(tx, known, EventState.DELIVERING, f"for {case.instance_id} as {event.name}", **given)


def _as_bound(rules: Sequence[Binding]) -> dict[str, Any]:
    """What routing would have written down, as far as all of the rules say the same."""
    columns: dict[str, set[str | None]] = {
        "binding": {rule.name for rule in rules},
        "type": {rule.type for rule in rules},
        "on_late": {str(answer) if (answer := rule.treatment.on_late) is not None else None for rule in rules},
    }
    return {column: said.pop() for column, said in columns.items() if len(said) == 1}


def _row(tx: Transaction, case: CaseRef, place: str, identity: str, data: Any) -> dict[str, Any]:
    original = json.dumps(data).encode()
    return {
        "topic": place,
        "digest": hashlib.sha256(identity.encode()).hexdigest(),
        "original": original,
        "identity": identity,
        "workflow": case.workflow,
        "key": case.key,
        "instance_id": case.instance_id,
        "updated_at_ms": tx.now_ms,
        "last_seen_at_ms": tx.now_ms,
        "sightings": 1,
        "attempts": 0,
    }


def _known(tx: Transaction, identity: str) -> Row[Any] | None:
    return tx.one(_BY_IDENTITY, {"identity": identity})


_EVENT = select(events.c.seq).where(events.c.seq == bindparam("seq"))
_BY_IDENTITY = select(events).where(events.c.identity == bindparam("identity"))
_INSERT = insert(events)
