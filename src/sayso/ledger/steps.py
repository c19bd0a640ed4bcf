"""Steps: what an activity of a workflow writes down, in one transaction.

In: a `StepInput` (and the answer of the effect, if it had one). Out: the step's result; a rerun gets the same one. Invariants:
a step is recorded once (case + step + iteration); closing a case and marking what it did not use is one transaction
(ARCHITECTURE, invariant 4); a step of a closed case does nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, insert, select, update

from sayso.contracts.approval_state import ApprovalState
from sayso.contracts.workflow_io import AMENDED, APPROVAL, LAST, RECORDED_AT, CaseRef, DeadlineInput, GaveUp, StepInput
from sayso.ledger import audit
from sayso.ledger.adopting import adopt
from sayso.ledger.approvals import record_approval
from sayso.ledger.cases import lock_case_key
from sayso.ledger.closing import close_case
from sayso.ledger.compensations import report_unsettled
from sayso.ledger.database import Transaction
from sayso.ledger.deciding import declined
from sayso.ledger.event_rows import move
from sayso.ledger.in_sight import under_way_since
from sayso.ledger.outbox import moment, notify, publish
from sayso.ledger.planning import current_input
from sayso.ledger.refusing import WORDS_OF_PEOPLE, tell_refused
from sayso.ledger.schema import cases, events, steps, tasks
from sayso.ledger.statements import fixed, locked, upsert
from sayso.ledger.states import MATTERS_TO_A_CASE, EventState
from sayso.ledger.tombstones import was_pruned
from sayso.policy import STAGE

SKIPPED = {"skipped": "the case has ended"}
UNKNOWN = {"skipped": "no such case in this ledger"}
EPOCH = datetime.fromtimestamp(0, UTC)


def earlier_result(tx: Transaction, step: StepInput) -> dict[str, Any] | None:
    """The result that this step already has, or why it is skipped: its case has ended or is none of ours. None: it is to be done.

    Of a step that repeats, a later one's result counts as this one's: only the last is kept, and the engine has gone back.
    """
    asked = {"instance_id": step.case.instance_id, "step": step.step, "iteration": step.iteration}
    done = tx.one(_STEP if step.repeats is None else _LAST_STEP, asked)
    if done is not None:
        return {**json.loads(done.result), RECORDED_AT: moment(done.done_at_ms).isoformat()}
    case = tx.one(_CASE, {"instance_id": step.case.instance_id})
    if case is None:
        return dict(SKIPPED if was_pruned(tx, step.case) else UNKNOWN)
    return dict(SKIPPED) if case.phase == "closed" else None


def complete_step(tx: Transaction, step: StepInput, result: dict[str, Any]) -> dict[str, Any]:
    """Record the step and everything that goes with it; returns what the workflow gets.

    A result that says when it was recorded comes from the engine's history: then it was recorded before.
    """
    lock_case_key(tx, step.case.workflow, step.case.key)
    earlier = earlier_result(tx, step)
    if earlier is not None:
        if earlier not in (SKIPPED, UNKNOWN):
            _mark_events(tx, step)  # a run that began anew may have got others than the lost one
        elif result and earlier == SKIPPED:
            _audit_effect_after_end(tx, step, result)
        return earlier
    case = tx.one(_CASE, {"instance_id": step.case.instance_id})
    assert case is not None  # or it would have been skipped
    done_at = datetime.fromisoformat(result[RECORDED_AT]) if RECORDED_AT in result else moment(tx.now_ms)
    row: dict[str, Any] = {"instance_id": step.case.instance_id, "step": step.step, "iteration": step.iteration}
    kept = {name: value for name, value in result.items() if name != RECORDED_AT}
    if step.repeats is not None:
        tx.run(_DELETE_BEFORE, {f"this_{name}": value for name, value in row.items()})
        kept[LAST] = {"iteration": step.iteration, "own": step.repeats}
    tx.run(_INSERT_STEP, {**row, "result": json.dumps(kept), "done_at_ms": (done_at - EPOCH) // timedelta(milliseconds=1)})
    step = declined(step, result)
    step = step.model_copy(update={"used": [*step.used, *(adopt(tx, step.case, event) for event in step.direct)]})
    _mark_events(tx, step)
    if step.approval is None:
        _decide_task(tx, step)
    else:
        _record_approval(tx, case, step, result)
    _announce(tx, step)
    if step.gave_up is not None:
        _give_up(tx, step.case, step.gave_up)
    if step.unsettled is not None:
        report_unsettled(tx, step.case, step.unsettled)
    if step.closing is not None:
        close_case(tx, step.case, step.closing, case.opened_at_ms)
    elif step.stage is not None:
        tx.run(_UPDATE_CASE, {"this_case": step.case.instance_id, "stage": step.stage, "updated_at_ms": tx.now_ms})
    return {**result, RECORDED_AT: done_at.isoformat()}


def confirm_deadline(tx: Transaction, asked: DeadlineInput) -> dict[str, Any]:
    """Whether the deadline has truly passed without an event that came before it (ARCHITECTURE, invariant 4).

    `pending` counts events that were in the ledger in time and that the workflow has not seen yet: it waits for them. Events that
    nobody has looked at yet may be such events, so they count too; and so do those that an instance used which the engine then lost.
    A message that is just being taken in may be one as well: it has got its time, and nobody sees it before its commit.
    `early_ms` is what is left of the time by the database's clock: the engine's, which fired the timer, may run ahead.
    """
    lock_case_key(tx, asked.case.workflow, asked.case.key)
    deadline_ms = (asked.deadline - EPOCH) // timedelta(milliseconds=1)
    early_ms = max(0, deadline_ms + 1 - tx.now_ms)
    on_its_way = under_way_since(tx, deadline_ms)  # before the events are read: what is not under way any more is among them
    waited_for = {"instance_id": asked.case.instance_id, "names": list(asked.waited_for), "deadline_ms": deadline_ms}
    mine = tx.all(_IN_TIME, waited_for)
    unseen = [row for row in mine if row.seq not in asked.handled and row.identity not in asked.direct]
    unrouted = tx.one(_UNROUTED, {"deadline_ms": deadline_ms})
    pending = len(unseen) + (unrouted is not None) + on_its_way
    if pending == early_ms == 0:
        tx.run(_EXPIRE_TASKS, {"this_case": asked.case.instance_id, "due_by_ms": deadline_ms + 1})
    return {"pending": pending, "early_ms": early_ms}


def _give_up(tx: Transaction, case: CaseRef, gave_up: GaveUp) -> None:
    """What was given up stays so, also for an attempt whose answer comes late, and for a run that begins anew."""
    row = {
        "instance_id": case.instance_id,
        "step": gave_up.step,
        "iteration": gave_up.iteration,
        "result": json.dumps({"gave_up": gave_up.error, "unknown": gave_up.unknown}),
        "done_at_ms": tx.now_ms,
    }
    write = upsert(tx.dialect, steps)
    key = [steps.c.instance_id, steps.c.step, steps.c.iteration]
    tx.run(write.on_conflict_do_update(index_elements=key, set_={"result": write.excluded.result}), row)


def _mark_events(tx: Transaction, step: StepInput) -> None:
    reasons = dict.fromkeys(step.used, f"used by {step.step} of {step.case.instance_id}")
    refusals = {refusal.seq: refusal.reason for refusal in step.refused if refusal.seq is not None}
    wanted = [*reasons, *refusals]
    rows = {row.seq: row for row in tx.all(_lock_events(tx.dialect), {"seqs": wanted})} if wanted else {}
    for seq, reason in [*reasons.items(), *refusals.items()]:
        row = rows.get(seq)
        if row is None or row.instance_id != step.case.instance_id or row.state not in MATTERS_TO_A_CASE:
            continue  # marked before, because the same event was raised again; or somebody raised another case's number
        move(tx, row, EventState.CONSUMED if seq in reasons else EventState.REFUSED, reason)
        if seq in refusals and row.event_name in WORDS_OF_PEOPLE:
            tell_refused(tx, step.case, row, reason)
    for refusal in step.refused:
        if refusal.seq is None:  # raised past the ledger: there is no row that could carry the reason
            audit.record(tx, "raise-refused", channel="dapr-api", instance_id=step.case.instance_id, reason=refusal.reason)


def _record_approval(tx: Transaction, case: Row[Any], step: StepInput, result: dict[str, Any]) -> None:
    """Where the approval stands: as the step says, or as its result says, when the step itself has opened something."""
    given = current_input(case)
    if AMENDED in result:
        tx.run(_UPDATE_CASE, {"this_case": case.instance_id, "amended": json.dumps(result[AMENDED])})
        case = tx.one(_CASE, {"instance_id": case.instance_id}) or case
        given = current_input(case)
    state = ApprovalState.model_validate(result[APPROVAL]) if APPROVAL in result else step.approval
    assert state is not None
    record_approval(tx, given, state, step.notes, step.iteration)
    if state.open_stages and state.outcome is None:
        tx.run(_UPDATE_CASE, {"this_case": case.instance_id, "stage": f"waits for {STAGE}", "updated_at_ms": tx.now_ms})


def _audit_effect_after_end(tx: Transaction, step: StepInput, result: dict[str, Any]) -> None:
    """Somebody terminated the case while a service was at work: what it did must not stay unknown."""
    audit.record(
        tx,
        "effect-after-end",
        channel="worker",
        instance_id=step.case.instance_id,
        step=step.step,
        key=step.idempotency_key,
        result=result,
    )


def _decide_task(tx: Transaction, step: StepInput) -> None:
    decision = step.decision
    if decision is None:
        return
    values = {
        "this_case": step.case.instance_id,
        "this_stage": STAGE,
        "state": "decided",
        "decision": decision.decision,
        "decided_by": decision.decided_by,
        "comment": decision.comment,
        "decided_at_ms": tx.now_ms,
    }
    tx.run(_DECIDE_TASK, values)
    audit.record(
        tx,
        f"decided-{decision.decision}",
        actor=decision.decided_by,
        channel=decision.channel,
        instance_id=step.case.instance_id,
        event_seq=step.used[0] if step.used else None,
        comment=decision.comment,
    )


def _announce(tx: Transaction, step: StepInput) -> None:
    case = step.case
    for outgoing in step.publish:
        publish(
            tx,
            event_id=f"{case.instance_id}:{outgoing.slot}",
            topic=outgoing.topic,
            event_type=outgoing.type,
            key=case.key,
            instance_id=case.instance_id,
            data=outgoing.data,
        )
    for notice in step.notices:
        notify(
            tx,
            notice_id=f"{case.instance_id}/{notice.name}/{step.iteration}",
            instance_id=case.instance_id,
            name=notice.name,
            recipient=notice.recipient,
            title=notice.title,
            body=notice.body,
        )


_STEP = select(steps.c.result, steps.c.done_at_ms).where(
    steps.c.instance_id == bindparam("instance_id"), steps.c.step == bindparam("step"), steps.c.iteration == bindparam("iteration")
)
_LAST_STEP = (
    select(steps.c.result, steps.c.done_at_ms)
    .where(
        steps.c.instance_id == bindparam("instance_id"),
        steps.c.step == bindparam("step"),
        steps.c.iteration >= bindparam("iteration"),
    )
    .order_by(steps.c.iteration.desc())
    .limit(1)
)
_DELETE_BEFORE = delete(steps).where(
    steps.c.instance_id == bindparam("this_instance_id"),
    steps.c.step == bindparam("this_step"),
    steps.c.iteration < bindparam("this_iteration"),
)
_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_IN_TIME = select(events.c.seq, events.c.identity).where(
    events.c.instance_id == bindparam("instance_id"),
    events.c.event_name.in_(bindparam("names", expanding=True)),
    events.c.state.in_([state.value for state in MATTERS_TO_A_CASE | {EventState.CONSUMED}]),
    events.c.received_at_ms <= bindparam("deadline_ms"),
)
# One that routing keeps failing on must not hold up the deadlines of all cases.
_UNLOOKED_AT = and_(events.c.state == EventState.RECEIVED.value, events.c.attempts == 0)
_UNROUTED = select(events.c.seq).where(_UNLOOKED_AT, events.c.received_at_ms <= bindparam("deadline_ms")).limit(1)
_EXPIRE_TASKS = (
    update(tasks)
    .where(tasks.c.instance_id == bindparam("this_case"), tasks.c.state == fixed("open"), tasks.c.due_at_ms <= bindparam("due_by_ms"))
    .values(state="expired")
)
_INSERT_STEP = insert(steps)
_UPDATE_CASE = update(cases).where(cases.c.instance_id == bindparam("this_case"))
_DECIDE_TASK = update(tasks).where(tasks.c.instance_id == bindparam("this_case"), tasks.c.stage == bindparam("this_stage"))


@cache
def _lock_events(dialect: str) -> Any:
    return locked(dialect, select(events).where(events.c.seq.in_(bindparam("seqs", expanding=True))))
