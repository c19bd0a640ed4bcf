"""The outlook of an event: what would become of it if it came now. Reads what `sayso.ledger.routing` would read, and writes nothing.

In: topic, original bytes, correlation's verdict. Out: the state that the event would take, and why. It is only true for this moment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, func, select

from sayso.contracts.catalog import DECISION_EVENTS
from sayso.contracts.signed import Matter, request_hash
from sayso.contracts.workflow_io import Plan, RaisedEvent
from sayso.correlation.verdict import Record, Rejected, Resume, Start, Unmatched, Verdict
from sayso.gate import Refused, Stage, decide
from sayso.ledger.cases import came_before
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.queries.cases import find_cases
from sayso.ledger.queries.views import CaseView
from sayso.ledger.schema import case_keys, events
from sayso.ledger.states import RESENT, EventState
from sayso.ledger.tombstones import PRUNED_CONTRADICTED, PrunedCase, pruned_case, tombstone_of
from sayso.policy import POLICIES, asks_nobody, in_words
from sayso.settings import Settings

Understood = Unmatched | Record | Start | Resume
SIGHTING = "sighting"
"""Not a state: a repetition is counted on the event that it repeats."""


@dataclass(frozen=True)
class Outlook:
    """What would happen: a state of an event, or `sighting`; `other` is the number of the event that it repeats or contradicts."""

    state: str
    reason: str
    case: str | None = None
    other: int | None = None


def outlook(tx: Transaction, topic: str, original: bytes, verdict: Verdict, settings: Settings) -> Outlook:
    """Look at the ledger as routing would."""
    known = _same_bytes(tx, topic, original) or _same_identity(tx, verdict)
    if known is not None and not known.resent:
        return known.outlook
    found = _placed(tx, verdict, settings)
    if known is not None:
        return Outlook(
            found.state,
            f"seen before as event {known.outlook.other}, looked at again: {found.reason}",
            found.case,
            known.outlook.other,
        )
    return found


def outlook_of_row(tx: Transaction, seq: int, verdict: Verdict, settings: Settings) -> Outlook:
    """The same for an event that is in the ledger, if it were received again."""
    known = _same_identity(tx, verdict, besides=seq)
    return known.outlook if known is not None else _placed(tx, verdict, settings, seq)


def outlook_without_ledger(verdict: Verdict, settings: Settings) -> Outlook:
    """The same for an empty ledger."""
    if isinstance(verdict, Rejected):
        return Outlook(EventState.REJECTED, verdict.reason)
    if isinstance(verdict, Unmatched):
        return Outlook(EventState.UNMATCHED, verdict.reason)
    if isinstance(verdict, Record):
        return Outlook(EventState.RECORDED, "only kept, nothing else happens")
    if isinstance(verdict, Start):
        return Outlook(
            EventState.STARTED, f"opens a case of {verdict.workflow}; {_first_wait(verdict.workflow, verdict.request, settings)}"
        )
    return _of_early(verdict, settings)


def _of_early(verdict: Resume, settings: Settings) -> Outlook:
    if verdict.request is not None:
        opening = f"opens a case of {verdict.workflow} and wakes it as {verdict.event_name}"
        return Outlook(EventState.DELIVERING, f"{opening}; {_first_wait(verdict.workflow, verdict.request, settings)}")
    treatment = verdict.treatment
    if not treatment.holds_early:
        return Outlook(EventState.EXPIRED, f"no such case yet, and {verdict.binding} does not let it wait{_answer(verdict)}")
    hold = treatment.hold or settings.early_hold
    return Outlook(EventState.HELD, f"no such case yet: held for {in_words(hold.total_seconds())}, then used when its case comes")


def _placed(tx: Transaction, verdict: Verdict, settings: Settings, seq: int | None = None) -> Outlook:
    found = outlook_without_ledger(verdict, settings)
    if isinstance(verdict, Start):
        return _of_start(tx, verdict, found)
    return _of_resume(tx, verdict, found, seq) if isinstance(verdict, Resume) else found


@dataclass(frozen=True)
class _Known:
    outlook: Outlook
    resent: bool


def _same_bytes(tx: Transaction, topic: str, original: bytes) -> _Known | None:
    digest = hashlib.sha256(original).hexdigest()
    row = tx.one(select(events.c.seq, events.c.state, events.c.answered_by).where(events.c.topic == topic, events.c.digest == digest))
    return _sighting(row) if row is not None else None


def _same_identity(tx: Transaction, verdict: Verdict, besides: int | None = None) -> _Known | None:
    if isinstance(verdict, Rejected):
        return None  # what is malformed claims no identity
    query = select(events.c.seq, events.c.state, events.c.answered_by, events.c.content_digest).where(
        events.c.identity == verdict.event.identity
    )
    row = tx.one(query)
    if row is None:
        return _same_as_pruned(tx, verdict)
    if row.seq == besides:
        return None
    if row.content_digest != verdict.event.content_digest:
        reason = f"event {row.seq} has the same source and id, but says something else"
        return _Known(Outlook(EventState.CONFLICT, reason, other=row.seq), resent=False)
    return _sighting(row)


def _same_as_pruned(tx: Transaction, verdict: Understood) -> _Known | None:
    content_digest = tombstone_of(tx, verdict.event.identity)
    if content_digest is None:
        return None
    if content_digest != verdict.event.content_digest:
        return _Known(Outlook(EventState.CONFLICT, PRUNED_CONTRADICTED), resent=False)
    reason = "the same as an event that was pruned: counted as one more sighting of it, nothing else happens"
    return _Known(Outlook(SIGHTING, reason), resent=False)


def _sighting(row: Any) -> _Known:
    reason = f"the same as event {row.seq}, which is {row.state}: counted as one more sighting of it, nothing else happens"
    return _Known(Outlook(SIGHTING, reason, other=row.seq), resent=row.state in RESENT and row.answered_by is None)


def _of_start(tx: Transaction, verdict: Start, opening: Outlook) -> Outlook:
    case = _latest(tx, verdict)
    if case is not None and not (case.phase == "closed" and verdict.treatment.restarts):
        how = f"has ended ({case.outcome})" if case.phase == "closed" else "is open"
        return Outlook(EventState.REFUSED, f"the case for key {verdict.key!r} {how}: {case.instance_id}", case.instance_id)
    waiting = and_(events.c.workflow == verdict.workflow, events.c.key == verdict.key, events.c.state == EventState.HELD.value)
    if case is not None:
        return Outlook(opening.state, f"{opening.reason}; generation {case.generation + 1}, after {case.instance_id}")
    row = tx.one(select(func.count()).select_from(events).where(waiting))
    held = int(row[0]) if row is not None else 0
    also = f"; {held} held event{'s' if held > 1 else ''} would be delivered to it" if held else ""
    return Outlook(opening.state, opening.reason + also)


def _of_resume(tx: Transaction, verdict: Resume, early: Outlook, seq: int | None) -> Outlook:
    case = _latest(tx, verdict)
    if case is None:
        return early
    if seq is not None and came_before(seq, case):
        return Outlook(EventState.LATE, f"came before {case.instance_id} was asked for{_answer(verdict)}", case.instance_id)
    if case.phase == "closed" and verdict.treatment.restarts:
        return Outlook(early.state, f"{early.reason}; generation {case.generation + 1}, after {case.instance_id}")
    if isinstance(case, PrunedCase) or case.phase == "closed":
        return Outlook(EventState.LATE, f"{case.instance_id} has ended ({case.outcome}){_answer(verdict)}", case.instance_id)
    refusal = _refusal(tx, verdict, case)
    if refusal is not None:
        return Outlook(EventState.REFUSED, f"{case.instance_id} would refuse it: {refusal}", case.instance_id)
    stage = case.stage or case.phase
    until = f" until {case.waits_until.astimezone():%Y-%m-%d %H:%M:%S}" if case.waits_until else ""
    return Outlook(
        EventState.DELIVERING, f"goes to {case.instance_id} as {verdict.event_name}; the case {stage}{until}", case.instance_id
    )


def _answer(verdict: Resume) -> str:
    answer = verdict.treatment.on_late
    return f"; answered with {answer}" if answer is not None else ""


def _refusal(tx: Transaction, verdict: Resume, case: CaseView) -> str | None:
    """What the decision gate would say; only a waiting decision can be foretold."""
    if verdict.event_name not in DECISION_EVENTS or case.stage != "waits for approval":
        return None
    plan = Plan.model_validate(case.plan)
    deadline = case.opened_at + timedelta(seconds=plan.approval_timeout_seconds)
    matter = Matter(case.instance_id, case.generation, request_hash(case.request))
    # Who is entitled is looked up later.
    stage = Stage(case.workflow, case.request.get("requester"), deadline, plan.accept_raw_raise, matter=lambda: matter)
    raised = RaisedEvent(
        seq=1, identity=verdict.event.identity, name=verdict.event_name, received_at=moment(tx.now_ms), data=verdict.payload
    )
    answer = decide(stage, raised)
    return answer.reason if isinstance(answer, Refused) else None


def _latest(tx: Transaction, verdict: Start | Resume) -> CaseView | PrunedCase | None:
    found = [case for case in find_cases(tx, verdict.key, verdict.workflow) if case.key == verdict.key]
    if found:
        return found[0]
    known = select(case_keys.c.generations).where(case_keys.c.workflow == verdict.workflow, case_keys.c.key == verdict.key)
    row = tx.one(known)
    return pruned_case(tx, verdict.workflow, verdict.key, row.generations) if row is not None and row.generations else None


def _first_wait(workflow: str, request: dict[str, Any], settings: Settings) -> str:
    policy = POLICIES[workflow]
    plan = policy.plan(settings)
    if policy.automatic is asks_nobody:
        return "it asks nobody and begins at once"
    if policy.automatic(plan, request):
        return "it is approved by itself"
    return f"{plan.approver_group} are asked to decide within {in_words(plan.approval_timeout_seconds)}"
