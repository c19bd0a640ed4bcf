"""Second thoughts about events that could not be used: a person has one driven again, or gives it up.

In: the number of a failed event, correlation's verdict of today, who asks. Out: the event is `received` again or `dead`, audited with
that name; or an answer that says why it stays as it is. Invariant: an event whose effect has happened is never driven again. Three
rules hold it: `states.py` leads nowhere from what was used; what was answered (its refund is asked for) stays; what an open case
has judged stays, because the workflow knows its identity and would not look at it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, select

from sayso.correlation.verdict import Resume, Verdict
from sayso.ledger import audit
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.event_rows import answered, drive_again, move
from sayso.ledger.late import TOO_LATE
from sayso.ledger.queries.outlook import SIGHTING, Outlook, outlook_of_row
from sayso.ledger.schema import cases, events
from sayso.ledger.statements import locked
from sayso.ledger.states import FAILED, EventState
from sayso.settings import Settings

CHANNEL = "cli"
REASON_CHARACTERS_MAX = 500
UNROUTED = dict.fromkeys(("binding", "workflow", "key", "event_name", "payload", "instance_id"))
"""What routing found out, and will find out anew. The identity stays claimed."""


@dataclass(frozen=True)
class Judged:
    """A failed event as it was read, and what today's bindings make of its bytes."""

    seq: int
    digest: str
    verdict: Verdict


@dataclass(frozen=True)
class Answer:
    """What was done with one event, or would be. `state` is the state that it has or would take; `done` is False when it stays."""

    event: int
    done: bool
    state: str
    reason: str
    case: str | None = None


def look_at_replay(tx: Transaction, judged: Judged, settings: Settings) -> Answer:
    """What `replay` would do now. Reads only."""
    row = tx.one(_EVENT, {"seq": judged.seq})
    return _stays(tx, judged, row) or _foretold(judged, row, outlook_of_row(tx, judged.seq, judged.verdict, settings))


def replay(tx: Transaction, judged: Judged, settings: Settings, *, actor: str) -> Answer:
    """Have the event driven again, unless a rule says that it stays or nothing would change."""
    row = _locked_row(tx, judged.seq)
    answer = _stays(tx, judged, row) or _foretold(judged, row, outlook_of_row(tx, judged.seq, judged.verdict, settings))
    if row is None or not answer.done:
        return answer
    was = f"{row.state}: {row.reason}"
    audit.record(
        tx,
        "event-replayed",
        actor=actor,
        channel=CHANNEL,
        instance_id=row.instance_id,
        event_seq=row.seq,
        was=was,
        foretold=answer.state,
    )
    reason = f"replayed by {actor}; was {was}"[:REASON_CHARACTERS_MAX]
    drive_again(tx, row, reason, **UNROUTED)
    return answer


def give_up(tx: Transaction, seq: int, *, actor: str, comment: str) -> Answer:
    """Put the event to rest for good; its dead letter went out when it failed."""
    row = _locked_row(tx, seq)
    answer = _of_giving_up(seq, row)
    if row is None or not answer.done:
        return answer
    audit.record(
        tx,
        "event-given-up",
        actor=actor,
        channel=CHANNEL,
        instance_id=row.instance_id,
        event_seq=seq,
        was=f"{row.state}: {row.reason}",
        comment=comment,
    )
    reason = f"given up by {actor}: {comment}; was {row.state}: {row.reason}"[:REASON_CHARACTERS_MAX]
    move(tx, row, EventState.DEAD, reason)
    return answer


def look_at_giving_up(tx: Transaction, seq: int) -> Answer:
    """What `give_up` would do now. Reads only."""
    return _of_giving_up(seq, tx.one(_EVENT, {"seq": seq}))


def _of_giving_up(seq: int, row: Row[Any] | None) -> Answer:
    if row is None:
        return _unknown(seq)
    if row.state not in FAILED:
        return Answer(seq, done=False, state=row.state, reason=_not_failed(row), case=row.instance_id)
    return Answer(seq, done=True, state=EventState.DEAD, reason=f"it was {row.state}: {row.reason}", case=row.instance_id)


def _locked_row(tx: Transaction, seq: int) -> Row[Any] | None:
    """The event under its lock; the lock of its case comes first, as everywhere."""
    row = tx.one(_EVENT, {"seq": seq})
    if row is not None and row.workflow is not None and row.key is not None:
        lock_case_key(tx, row.workflow, row.key)
    return tx.one(_lock_event(tx.dialect), {"seq": seq})


def _stays(tx: Transaction, judged: Judged, row: Row[Any] | None) -> Answer | None:
    """Why the event is not driven again, whatever today's bindings say; None when nothing forbids it."""
    if row is None:
        return _unknown(judged.seq)
    reason = None
    if row.state not in FAILED:
        reason = _not_failed(row)
    elif answered(row) is not None:
        reason = answered(row)
    elif row.digest != judged.digest:
        reason = "it was sent again in other bytes meanwhile; ask again"
    elif row.state == EventState.REFUSED and row.event_name is not None and _is_open(tx, row.instance_id):
        reason = f"{row.instance_id} is open, has judged it and would not look at it again; what has changed is said by a new event"
    return Answer(row.seq, done=False, state=row.state, reason=reason, case=row.instance_id) if reason is not None else None


def _foretold(judged: Judged, row: Row[Any] | None, outlook: Outlook) -> Answer:
    assert row is not None  # or it would stay
    if outlook.state == SIGHTING:
        return Answer(judged.seq, done=False, state=row.state, reason=f"it is {outlook.reason}", case=outlook.case)
    owed = outlook.state in TOO_LATE and isinstance(judged.verdict, Resume) and judged.verdict.treatment.on_late is not None
    if outlook.state == row.state and not owed:
        reason = f"it would be {row.state} again: {outlook.reason}"
        return Answer(judged.seq, done=False, state=row.state, reason=reason, case=outlook.case)
    return Answer(judged.seq, done=True, state=outlook.state, reason=outlook.reason, case=outlook.case)


def _is_open(tx: Transaction, instance_id: str | None) -> bool:
    return tx.one(_OPEN_CASE, {"instance_id": instance_id}) is not None


def _unknown(seq: int) -> Answer:
    return Answer(seq, done=False, state="unknown", reason="there is no such event any more")


def _not_failed(row: Row[Any]) -> str:
    """In words: why what is no longer failed is left alone."""
    if row.state in (EventState.STARTED, EventState.CONSUMED, EventState.RECORDED):
        return f"it is {row.state}, its effect has happened: {row.reason}"
    return f"it is {row.state}: {row.reason or 'not looked at yet'}"


_EVENT = select(events).where(events.c.seq == bindparam("seq"))
_OPEN_CASE = select(cases.c.instance_id).where(cases.c.instance_id == bindparam("instance_id"), cases.c.phase != "closed")


@cache
def _lock_event(dialect: str) -> Any:
    return locked(dialect, _EVENT)
