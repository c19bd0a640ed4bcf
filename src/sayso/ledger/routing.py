"""Routing: an understood event takes its place in the ledger. One transaction an event.

In: the number of a `received` row and correlation's verdict. Out: its next state, and whatever follows from it: a case opened, an
event bound to its open case, held, or put to the dead letters. A transaction on a case locks (workflow, key) first. How an early,
late or repeated event is treated is its binding's choice (`sayso.correlation.treatment`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, delete, select, update

from sayso.correlation.verdict import Record, Rejected, Resume, Start, Unmatched, Verdict
from sayso.errors import MalformedError
from sayso.ledger.alerts import DUPLICATE_COLUMNS, alert, alert_of_duplicate
from sayso.ledger.cases import NOT_GIVEN, Rules, came_before, case_of, lighter_payload, lock_case_key, open_case
from sayso.ledger.database import Transaction
from sayso.ledger.event_rows import drive_again, move
from sayso.ledger.outbox import moment
from sayso.ledger.quotas import CaseQuota, source_digest, why_not_held
from sayso.ledger.schema import cases, events
from sayso.ledger.statements import by_due_index, locked
from sayso.ledger.states import RESENT, EventState
from sayso.ledger.tombstones import PRUNED_CONTRADICTED, count_sightings, tombstone_of

SETTLES_WITHIN_MS = 200
Understood = Unmatched | Record | Start | Resume


@dataclass(frozen=True)
class DueEvent:
    """A row that wants routing: just received, or held beyond its time."""

    seq: int
    topic: str
    original: bytes
    state: EventState
    digest: str
    received_at: datetime


def due_events(tx: Transaction, limit: int) -> list[DueEvent]:
    """The oldest rows that are due, in ledger order."""
    found = tx.all(_due_events(tx.dialect), {"now_ms": tx.now_ms, "max_rows": limit})
    return [
        DueEvent(row.seq, row.topic, bytes(row.original), EventState(row.state), row.digest, moment(row.received_at_ms))
        for row in found
    ]


def route(tx: Transaction, seq: int, verdict: Verdict, rules: Rules, digest: str | None = None) -> EventState | None:  # noqa: PLR0911 - one a verdict
    """Give the event its place; None when another dispatcher already did, or when it was a repetition."""
    generations = lock_case_key(tx, verdict.workflow, verdict.key) if isinstance(verdict, Start | Resume) else 0  # before its events
    row = tx.one(_lock_event(tx.dialect), {"seq": seq})
    if row is None or row.state != EventState.RECEIVED or (digest is not None and row.digest != digest):
        return None  # routed meanwhile, or a resend has put other bytes there: the verdict was on what it was
    known = _description(verdict)
    if isinstance(verdict, Rejected):
        return move(tx, row, EventState.REJECTED, verdict.reason, **known)
    original = _owner_of(tx, row, verdict)
    if original is not None:
        return _repetition(tx, row, original, verdict)
    pruned_content = tombstone_of(tx, verdict.event.identity)
    if pruned_content is not None:
        return _repetition_of_pruned(tx, row, pruned_content, verdict)
    if row.sightings > 1 and known.get("on_duplicate") is not None:
        alert_of_duplicate(tx, row)
    known["identity"] = verdict.event.identity
    if isinstance(verdict, Unmatched):
        return move(tx, row, EventState.UNMATCHED, verdict.reason, **known)
    if isinstance(verdict, Record):
        return move(tx, row, EventState.RECORDED, f"kept, as {verdict.binding} says", **known)
    if isinstance(verdict, Start):
        return _start(tx, row, verdict, known, rules, generations)
    return _resume(tx, row, verdict, known, rules, generations)


def expire(tx: Transaction, seq: int) -> EventState | None:
    """A held event whose case did not come in time."""
    row = tx.one(_EVENT, {"seq": seq})
    if row is None or row.state != EventState.HELD:
        return None
    lock_case_key(tx, row.workflow, row.key)
    row = tx.one(_lock_event(tx.dialect), {"seq": seq})
    if row is None or row.state != EventState.HELD or row.due_at_ms > tx.now_ms:
        return None  # bound meanwhile; or expired, sent again and held anew
    return move(tx, row, EventState.EXPIRED, f"no case {row.workflow} for key {row.key!r} was opened in time")


def postpone_routing(tx: Transaction, seq: int, delay_ms: int, reason: str) -> None:
    """Routing failed for a reason that is not the event's: keep it, say why, try again later."""
    tx.run(
        update(events)
        .where(events.c.seq == seq, events.c.state == EventState.RECEIVED)
        .values(due_at_ms=tx.now_ms + delay_ms, attempts=events.c.attempts + 1, reason=reason[:500])
    )


def _description(verdict: Verdict) -> dict[str, Any]:
    """What is known of the event, so that a person finds it again."""
    event = verdict.event
    values: dict[str, Any] = {}
    if event is not None:
        values |= {"source": event.source, "event_id": event.id, "type": event.type, "content_digest": event.content_digest}
    if not isinstance(verdict, Unmatched) and verdict.binding is not None:
        values["binding"] = verdict.binding
    if isinstance(verdict, Start | Resume):
        values |= {"workflow": verdict.workflow, "key": verdict.key}
    if isinstance(verdict, Resume):
        values |= {"event_name": verdict.event_name, "payload": json.dumps(verdict.payload)}
    if isinstance(verdict, Record | Start | Resume):
        treatment = verdict.treatment
        values["on_late"] = str(treatment.on_late) if treatment.on_late is not None else None
        values["on_duplicate"] = "alarm" if treatment.alarms_on_duplicate else None
    return values


def _owner_of(tx: Transaction, row: Row[Any], verdict: Understood) -> Row[Any] | None:
    """The other row that has claimed this source and id, if any."""
    return tx.one(_lock_owner(tx.dialect), {"identity": verdict.event.identity, "seq": row.seq})


def _repetition(tx: Transaction, row: Row[Any], original: Row[Any], verdict: Understood) -> EventState | None:
    """The same event in other bytes is a sighting on its original; another content under its name is a conflict."""
    # Of an event that was lost and found again in the engine nobody knows the content (`adopting.py`).
    if original.content_digest not in (None, verdict.event.content_digest):
        reason = f"event {original.seq} has the same source and id, but says something else"
        return move(tx, row, EventState.CONFLICT, reason, **_description(verdict))
    if original.state == EventState.RECEIVED:  # it may come to rest where a resend drives it again: decide after it
        tx.run(_UPDATE_EVENT, {"this_seq": row.seq, "due_at_ms": tx.now_ms + SETTLES_WITHIN_MS})
        return None
    tx.run(_DELETE_EVENT, {"this_seq": row.seq})
    tx.run(_COUNT_SIGHTINGS, {"this_seq": original.seq, "more": row.sightings, "last_seen_at_ms": row.last_seen_at_ms})
    if original.state in RESENT and original.answered_by is None:  # since then there may be a binding, or the case
        again = {"topic": row.topic, "original": row.original, "digest": row.digest}
        drive_again(tx, original, "came once more", **again)
    if original.on_duplicate is not None:
        alert_of_duplicate(tx, original)
    return None


def _repetition_of_pruned(tx: Transaction, row: Row[Any], content_digest: str, verdict: Understood) -> EventState | None:
    """The same for an event of which only the tombstone is left."""
    if content_digest not in ("", verdict.event.content_digest):
        return move(tx, row, EventState.CONFLICT, PRUNED_CONTRADICTED, **_description(verdict))
    tx.run(_DELETE_EVENT, {"this_seq": row.seq})
    count_sightings(tx, verdict.event.identity, row.sightings)
    if _description(verdict).get("on_duplicate") is not None:
        reason = f"an event on {row.topic} that was pruned came once more; it was used once"
        detail = {"type": verdict.event.type, "source": verdict.event.source, "id": verdict.event.id}
        alert(tx, "repeated-event", occurrence=f"pruned-{verdict.event.identity}", reason=reason, detail=detail)
    return None


def _start(tx: Transaction, row: Row[Any], verdict: Start, known: dict[str, Any], rules: Rules, generations: int) -> EventState:
    if generations > 0:
        last = case_of(tx, verdict.workflow, verdict.key, generations)
        if last.phase != "closed" or not verdict.treatment.restarts:
            how = f"has ended ({last.outcome})" if last.phase == "closed" else "is open"
            reason = f"the case for key {verdict.key!r} {how}: {last.instance_id}"
            return move(tx, row, EventState.REFUSED, reason, instance_id=last.instance_id, **known)
    try:
        instance_id = open_case(tx, row.seq, verdict, rules, generations + 1)
    except MalformedError as error:  # no policy has an answer for this request; nothing was written
        return move(tx, row, EventState.REJECTED, str(error), **known)
    return move(tx, row, EventState.STARTED, f"opened {instance_id}", instance_id=instance_id, **known)


def _resume(tx: Transaction, row: Row[Any], verdict: Resume, known: dict[str, Any], rules: Rules, generations: int) -> EventState:
    if generations == 0:
        return _early(tx, row, verdict, known, rules)
    case = case_of(tx, verdict.workflow, verdict.key, generations)
    if came_before(row.seq, case):
        before = case_of(tx, verdict.workflow, verdict.key, generations - 1)
        reason = f"came before {case.instance_id} was asked for, and {before.instance_id} has ended ({before.outcome})"
        return move(tx, row, EventState.LATE, reason, instance_id=before.instance_id, **known)
    if case.phase == "closed" and verdict.treatment.restarts:
        return _open_and_wake(tx, row, verdict, known, rules, generations + 1)
    known["instance_id"] = case.instance_id
    if case.phase == "closed":
        return move(tx, row, EventState.LATE, f"{case.instance_id} has ended ({case.outcome})", **known)
    limits = rules.settings.limits
    known["payload"] = lighter_payload(tx, case.instance_id, known["payload"], limits)
    excess = CaseQuota(tx, case.instance_id, limits).why_not(verdict.event_name, known["payload"])
    if excess is not None:
        return move(tx, row, EventState.REFUSED, excess, **known | NOT_GIVEN)
    # A due case is leased or about to be: its dispatcher looks for more events before it lets go.
    tx.run(_MAKE_DUE, {"this_case": case.instance_id, "due_at_ms": tx.now_ms})
    return move(tx, row, EventState.DELIVERING, f"for {case.instance_id} as {verdict.event_name}", **known)


def _early(tx: Transaction, row: Row[Any], verdict: Resume, known: dict[str, Any], rules: Rules) -> EventState:
    if verdict.request is not None:
        return _open_and_wake(tx, row, verdict, known, rules, generation=1)
    treatment, case = verdict.treatment, f"the case {verdict.workflow} with key {verdict.key!r}"
    if not treatment.holds_early:
        return move(tx, row, EventState.EXPIRED, f"came before {case}, and {verdict.binding} does not let it wait", **known)
    excess = why_not_held(tx, verdict.event.source, len(row.original), rules.settings.limits)
    if excess is not None:
        return move(tx, row, EventState.EXPIRED, f"came before {case}, and cannot wait: {excess}", **known)
    hold_ms = int((treatment.hold or rules.settings.early_hold).total_seconds() * 1000)
    known["held_source"] = source_digest(verdict.event.source)
    return move(tx, row, EventState.HELD, f"waits for {case}", due_at_ms=tx.now_ms + hold_ms, **known)


def _open_and_wake(
    tx: Transaction, row: Row[Any], verdict: Resume, known: dict[str, Any], rules: Rules, generation: int
) -> EventState:
    """Signal with start: the event opens the case, and is the first that it is given (after those that waited for it)."""
    try:
        known["instance_id"] = open_case(tx, row.seq, verdict, rules, generation)
    except MalformedError as error:  # as in `_start`
        return move(tx, row, EventState.REJECTED, str(error), **known | NOT_GIVEN)
    known["payload"] = lighter_payload(tx, known["instance_id"], known["payload"], rules.settings.limits)
    return move(tx, row, EventState.DELIVERING, f"opened {known['instance_id']}, for it as {verdict.event_name}", **known)


_EVENT = select(events).where(events.c.seq == bindparam("seq"))
_DELETE_EVENT = delete(events).where(events.c.seq == bindparam("this_seq"))
_UPDATE_EVENT = update(events).where(events.c.seq == bindparam("this_seq"))
_COUNT_SIGHTINGS = _UPDATE_EVENT.values(sightings=events.c.sightings + bindparam("more"))
_MAKE_DUE = update(cases).where(cases.c.instance_id == bindparam("this_case"), cases.c.due_at_ms.is_(None))


@cache
def _due_events(dialect: str) -> Any:
    due = select(events.c.seq).where(events.c.due_at_ms <= bindparam("now_ms"))
    chosen = due.order_by(by_due_index(dialect, events.c.seq)).limit(bindparam("max_rows")).scalar_subquery()
    columns = (events.c.seq, events.c.topic, events.c.original, events.c.state, events.c.digest, events.c.received_at_ms)
    return select(*columns).where(events.c.seq.in_(chosen)).order_by(events.c.seq)


@cache
def _lock_event(dialect: str) -> Any:
    return locked(dialect, _EVENT)


@cache
def _lock_owner(dialect: str) -> Any:
    names = dict.fromkeys((*DUPLICATE_COLUMNS, "state", "content_digest", "answered_by"))
    query = select(*(events.c[name] for name in names))
    return locked(dialect, query.where(events.c.identity == bindparam("identity"), events.c.seq != bindparam("seq")))
