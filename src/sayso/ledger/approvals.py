"""Approvals by a policy's plan, as the ledger shows them: a task for each stage, its votes, and what is asked of whom.

In: where an approval stands, inside a step's or the opening transaction. Out: tasks, requests for approval, notices, alerts and audit
entries, each once: what is new is told by comparing with the tasks that are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from sayso.contracts.approval_plan import ApprovalPlan, StagePlan
from sayso.contracts.approval_state import ApprovalState, StageState, StageStatus, Vote
from sayso.contracts.workflow_io import ApprovalNote, CaseInput
from sayso.gate.seats import stage_plan
from sayso.ledger import audit
from sayso.ledger.alerts import alert
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import notify, publish
from sayso.ledger.schema import tasks
from sayso.policy import POLICIES

EPOCH = datetime.fromtimestamp(0, UTC)
TASK_STATES = {
    StageStatus.OPEN: "open",
    StageStatus.APPROVED: "decided",
    StageStatus.REJECTED: "decided",
    StageStatus.TIMED_OUT: "expired",
    StageStatus.ESCALATED: "expired",
    StageStatus.SUPERSEDED: "cancelled",
}
VERBS = {StageStatus.APPROVED: "approve", StageStatus.REJECTED: "reject"}


def record_approval(
    tx: Transaction, given: CaseInput, state: ApprovalState, notes: Iterable[ApprovalNote] = (), iteration: int = 0
) -> None:
    """Bring the tasks of this case to where its approval stands. The caller holds the case's lock."""
    plan = given.plan.approval
    assert plan is not None
    known = {row.stage: row for row in tx.all(_TASKS, {"instance_id": given.case.instance_id})}
    for note in notes:
        _note(tx, given, note)
    for stage in state.stages:
        if stage.status is StageStatus.OPENING:
            continue
        row = known.get(stage.key)
        planned = stage_plan(plan, stage) if stage.status is not StageStatus.SUPERSEDED else None
        if row is None and planned is not None:
            _open(tx, given, plan, stage, planned)
            if stage.status is StageStatus.OPEN and not stage.votes and state.outcome is None:
                continue  # the task is as it was just written
        _tell_votes(tx, given, stage, row)
        _tell_end(tx, given, stage, row)
        _update(tx, given, state, stage, planned, row)
    for note in notes:
        if note.action == "reminded":
            _remind(tx, given, plan, state, note, iteration)


def by_policy(plan: ApprovalPlan | None) -> dict[str, Any]:
    """What an audit entry says of the rules by which something happened, and of the request that it is about."""
    if plan is None:
        return {}
    return {"policy": f"{plan.policy} {plan.version}", "policy_hash": plan.policy_hash, "request_hash": plan.request_hash}


def _open(tx: Transaction, given: CaseInput, plan: ApprovalPlan, stage: StageState, planned: StagePlan) -> None:
    assert stage.opened_at is not None
    assert stage.due_at is not None
    values = {
        "instance_id": given.case.instance_id,
        "stage": stage.key,
        "assigned_to": _names(planned),
        "state": "open",
        "created_at_ms": _ms(stage.opened_at),
        "due_at_ms": _ms(stage.due_at),
        "votes": "[]",
    }
    tx.run(_INSERT_TASK, values)
    audit.record(
        tx,
        "stage-opened",
        channel="policy",
        instance_id=given.case.instance_id,
        stage=stage.key,
        asked=_names(planned),
        **by_policy(plan),
    )
    if stage.stranded:
        reason = f"nobody, or too few, can decide on the stage {stage.key}"
        alert(
            tx,
            "approval-stranded",
            occurrence=f"{given.case.instance_id}:{stage.key}",
            reason=f"{reason}: {'its escalation is asked' if stage.status is StageStatus.ESCALATED else 'see sayso case reassign'}",
            instance_id=given.case.instance_id,
        )
    if stage.status is StageStatus.OPEN:
        _ask(tx, given, plan, stage, planned)


def _ask(tx: Transaction, given: CaseInput, plan: ApprovalPlan, stage: StageState, planned: StagePlan, again: str = "") -> None:
    """Tell those who are asked, and the world."""
    case, what = given.case, POLICIES[given.case.workflow].describe(given.request)
    assert stage.due_at is not None
    publish(
        tx,
        event_id=f"{case.instance_id}:requested:{stage.key}{again}"[:200],
        topic="approval-requests",
        event_type="sayso.approval.requested.v1",
        key=case.key,
        instance_id=case.instance_id,
        data={
            "case": case.instance_id,
            "workflow": case.workflow,
            "key": case.key,
            "stage": stage.name,
            "asked": list(_asked(planned)),
            "requester": given.request.get("requester"),
            "due_at": stage.due_at.isoformat(),
            "request": given.request,
            "request_hash": plan.request_hash,
            "request_version": plan.request_version,
        },
    )
    for number, name in enumerate(_asked(planned)):
        notify(
            tx,
            notice_id=f"{case.instance_id}/send_approval_request/{number}/{stage.key}{again}"[:200],
            instance_id=case.instance_id,
            name="send_approval_request",
            recipient=name,
            title=f"Please decide: {what}",
            body=f"{what}. {_how(given, stage)}",
        )


def _how(given: CaseInput, stage: StageState) -> str:
    assert stage.due_at is not None
    return f"Decide until {stage.due_at:%Y-%m-%d %H:%M} UTC: sayso decide {given.case.key} approve|reject --as YOU"


def _remind(tx: Transaction, given: CaseInput, plan: ApprovalPlan, state: ApprovalState, note: ApprovalNote, iteration: int) -> None:
    stage = next((one for one in state.open_stages if one.key == note.stage), None)
    if stage is None:
        return
    what = POLICIES[given.case.workflow].describe(given.request)
    for number, name in enumerate(_asked(stage_plan(plan, stage))):
        notify(
            tx,
            notice_id=f"{given.case.instance_id}/send_approval_reminder/{number}/{iteration}/{stage.key}"[:200],
            instance_id=given.case.instance_id,
            name="send_approval_reminder",
            recipient=name,
            title=f"Reminder, please decide: {what}",
            body=f"{what}. {_how(given, stage)}",
        )


def _tell_votes(tx: Transaction, given: CaseInput, stage: StageState, row: Row[Any] | None) -> None:
    known = len(json.loads(row.votes)) if row is not None and row.votes else 0
    for vote in stage.votes[known:]:
        audit.record(
            tx,
            f"decided-{vote.answer}",
            actor=vote.person,
            channel=vote.channel,
            instance_id=given.case.instance_id,
            event_seq=vote.seq,
            comment=vote.comment,
            stage=stage.key,
            on_behalf_of=vote.on_behalf_of,
            **by_policy(given.plan.approval),
        )


def _tell_end(tx: Transaction, given: CaseInput, stage: StageState, row: Row[Any] | None) -> None:
    """How a stage ended, once."""
    told = row is not None and row.decided_at_ms is not None and row.state == TASK_STATES[stage.status]
    if stage.status is StageStatus.OPEN or told:
        return
    action = f"stage-{stage.status.replace('_', '-')}"
    known = by_policy(given.plan.approval)
    audit.record(tx, action, channel="policy", instance_id=given.case.instance_id, stage=stage.key, why=stage.why, **known)


def _update(
    tx: Transaction, given: CaseInput, state: ApprovalState, stage: StageState, planned: StagePlan | None, row: Row[Any] | None
) -> None:
    is_over = stage.status is not StageStatus.OPEN or state.outcome is not None
    last: Vote | None = stage.votes[-1] if stage.votes and stage.status in VERBS else None
    by_time = stage.status in VERBS and (stage.why or "").startswith("the time")
    values: dict[str, Any] = {
        "this_case": given.case.instance_id,
        "this_stage": stage.key,
        "state": TASK_STATES[stage.status] if stage.status is not StageStatus.OPEN or state.outcome is None else "cancelled",
        "votes": json.dumps(_votes(stage)),
        "decision": VERBS.get(stage.status),
        "decided_by": last.person if last is not None and not by_time else None,
        "comment": last.comment if last is not None and not by_time else None,
        "decided_at_ms": (row.decided_at_ms if row is not None and row.decided_at_ms else tx.now_ms) if is_over else None,
    }
    if stage.due_at is not None:
        values["due_at_ms"] = _ms(stage.due_at)
    if planned is not None:
        values["assigned_to"] = _names(planned)
        plan = given.plan.approval
        if row is not None and row.assigned_to != values["assigned_to"] and plan is not None and not is_over:
            mark = hashlib.sha256(values["assigned_to"].encode()).hexdigest()[:12]
            _ask(tx, given, plan, stage, planned, again=f":{mark}")
    tx.run(_UPDATE_TASK, values)


def _note(tx: Transaction, given: CaseInput, note: ApprovalNote) -> None:
    audit.record(
        tx,
        f"approval-{note.action}",
        actor=note.actor,
        channel=note.channel,
        instance_id=given.case.instance_id,
        event_seq=note.seq,
        **({"stage": note.stage} if note.stage is not None else {}),
        **note.detail,
    )


def _votes(stage: StageState) -> list[dict[str, Any]]:
    """As tasks show them."""
    return [
        {"by": vote.person, "says": vote.answer.value, "on_behalf_of": vote.on_behalf_of, "at": vote.at.isoformat()}
        for vote in stage.votes
    ]


def _asked(planned: StagePlan) -> tuple[str, ...]:
    """Whom the plan names, as far as they still have a seat, and those to whom an operator has given one."""
    given = tuple(seat.holder for seat in planned.seats if seat.member_of is None and seat.holder not in planned.asked)
    if not given:
        return planned.asked
    seated = {name for seat in planned.seats for name in (seat.member_of, seat.holder, *seat.stand_ins)}
    return (*(name for name in planned.asked if name in seated), *given)


def _names(planned: StagePlan) -> str:
    return ", ".join(_asked(planned)) or "nobody"


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


_TASKS = select(tasks).where(tasks.c.instance_id == bindparam("instance_id"))
_INSERT_TASK = insert(tasks)
_UPDATE_TASK = update(tasks).where(tasks.c.instance_id == bindparam("this_case"), tasks.c.stage == bindparam("this_stage"))
