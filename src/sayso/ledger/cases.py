"""Opening a case, and the lock that every transaction on a case takes first.

In: a correlated start event. Out: one open case for (workflow, key), its first approval task, what is asked of whom, and the
early events that waited for it: all in one transaction. A partial unique index allows one open case a key (ARCHITECTURE,
invariant 3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from sayso.contracts.signed import request_hash
from sayso.contracts.workflow_io import CaseInput, CaseRef
from sayso.correlation.verdict import Resume, Start
from sayso.ledger import audit
from sayso.ledger.approvals import by_policy, record_approval
from sayso.ledger.claims import keep_large_texts
from sayso.ledger.database import Transaction
from sayso.ledger.event_rows import move
from sayso.ledger.identifiers import instance_id as make_instance_id
from sayso.ledger.outbox import moment, notify, publish
from sayso.ledger.planning import Policies, SettingsAlone, about, with_approval
from sayso.ledger.quotas import CaseQuota
from sayso.ledger.schema import case_keys, cases, events, tasks
from sayso.ledger.statements import fixed, locked, upsert
from sayso.ledger.states import EventState
from sayso.ledger.tombstones import PrunedCase, pruned_case
from sayso.policy import POLICIES, STAGE, in_words, passes_by_itself
from sayso.settings import LimitSettings, Settings


@dataclass(frozen=True)
class Rules:
    """What opening a case needs besides the event: the settings of today, and the ledger's own id."""

    settings: Settings
    ledger_id: str
    policies: Policies = field(default_factory=SettingsAlone)


def lock_case_key(tx: Transaction, workflow: str, key: str) -> int:
    """Lock (workflow, key) until the transaction ends; returns how many cases it has had.

    On SQLite the transaction has all of it locked: a key that is there already is only read.
    """
    found = tx.one(_KNOWN_KEY, {"workflow": workflow, "key": key}) if tx.dialect == "sqlite" else None
    if found is None:
        found = tx.one(_lock_key(tx.dialect), {"workflow": workflow, "key": key, "generations": 0})
    assert found is not None
    return int(found.generations)


def case_of(tx: Transaction, workflow: str, key: str, generation: int) -> Row[Any] | PrunedCase:
    """The case of that generation, which there has been; of one that was pruned, what is still known."""
    return tx.one(_CASE_OF, {"workflow": workflow, "key": key, "generation": generation}) or pruned_case(tx, workflow, key, generation)


def came_before(seq: int, case: Any) -> bool:
    """Whether an event is older than a later generation's request: then it was meant for an earlier one, a decision above all.

    `case` is a row or a view.
    """
    generation: int = case.generation
    opened_by: int | None = case.opened_by
    return generation > 1 and opened_by is not None and seq < opened_by


def open_case(tx: Transaction, seq: int, start: Start | Resume, rules: Rules, generation: int) -> str:
    """Open the case and return its instance id. The caller holds the lock and knows that none is open."""
    assert start.request is not None  # what opens a case says what for
    now = moment(tx.now_ms)
    plan = with_approval(POLICIES[start.workflow].plan(rules.settings), rules.policies, start.workflow, start.request, now)
    case = CaseRef(
        workflow=start.workflow,
        key=start.key,
        generation=generation,
        instance_id=make_instance_id(start.workflow, start.key, generation, rules.ledger_id),
        opened_at=now,
    )
    limits = rules.settings.limits
    request = keep_large_texts(tx, case.instance_id, start.request, limits.inline_bytes)
    case_input = CaseInput(case=case, request=request, plan=about(plan, request), opened_by=start.event.identity)
    enter_case(tx, case_input, seq, rules, channel="topic", phase="starting", due_at_ms=tx.now_ms)
    return case.instance_id


def enter_case(tx: Transaction, case_input: CaseInput, seq: int, rules: Rules, *, channel: str, **row: Any) -> None:
    """Write a case down, ask whom it asks, and give it its early events. The caller holds the lock and knows that none is open."""
    case = case_input.case
    automatic = passes_by_itself(case.workflow, case_input.plan, case_input.request)
    tx.run(_COUNT_GENERATION, {"this_workflow": case.workflow, "this_key": case.key, "generations": case.generation})
    tx.run(
        _INSERT_CASE,
        {
            "instance_id": case.instance_id,
            "workflow": case.workflow,
            "key": case.key,
            "generation": case.generation,
            "stage": None if automatic else f"waits for {STAGE}",
            "input": case_input.model_dump_json(),
            "opened_by": seq,
            "opened_at_ms": tx.now_ms,
            "updated_at_ms": tx.now_ms,
            "attempts": 0,
            **row,
        },
    )
    if not automatic:
        ask_for_approval(tx, case_input, tx.now_ms)
    audit.record(
        tx,
        "case-opened",
        channel=channel,
        instance_id=case.instance_id,
        event_seq=seq,
        workflow=case.workflow,
        key=case.key,
        requester=case_input.request.get("requester"),
        **by_policy(case_input.plan.approval),
    )
    if bind_held_events(tx, case, rules.settings.limits) and "due_at_ms" not in row:
        tx.run(_MAKE_DUE, {"this_case": case.instance_id, "due_at_ms": tx.now_ms})


def ask_for_approval(tx: Transaction, case_input: CaseInput, opened_at_ms: int) -> None:
    """The first approval task of a case, and what is asked of whom; asked once more it is the same event and the same notice."""
    case, plan = case_input.case, case_input.plan
    if plan.approval_begun is not None:
        record_approval(tx, case_input, plan.approval_begun)
        return
    what = POLICIES[case.workflow].describe(case_input.request)
    due_at_ms = opened_at_ms + int(plan.approval_timeout_seconds * 1000)
    tx.run(
        _INSERT_TASK,
        {
            "instance_id": case.instance_id,
            "stage": STAGE,
            "assigned_to": plan.approver_group,
            "state": "open",
            "created_at_ms": opened_at_ms,
            "due_at_ms": due_at_ms,
        },
    )
    publish(
        tx,
        event_id=f"{case.instance_id}:requested:{STAGE}",
        topic="approval-requests",
        event_type="sayso.approval.requested.v1",
        key=case.key,
        instance_id=case.instance_id,
        data={
            "case": case.instance_id,
            "workflow": case.workflow,
            "key": case.key,
            "stage": STAGE,
            "requester": case_input.request.get("requester"),
            "due_at": moment(due_at_ms).isoformat(),
            "request": case_input.request,
            "request_hash": request_hash(case_input.request),
        },
    )
    notify(
        tx,
        notice_id=f"{case.instance_id}/send_approval_request/{STAGE}",
        instance_id=case.instance_id,
        name="send_approval_request",
        recipient=plan.approver_group,
        title=f"Please decide: {what}",
        body=f"{what}. Decide within {in_words(plan.approval_timeout_seconds)}: sayso decide {case.key} approve|reject --as YOU",
    )


def bind_held_events(tx: Transaction, case: CaseRef, limits: LimitSettings) -> int:
    """Early events wait no longer; they are raised in ledger order, because the dispatcher reads them so. Returns how many."""
    quota = CaseQuota(tx, case.instance_id, limits)
    bound = 0
    for row in tx.all(_held_events(tx.dialect), {"workflow": case.workflow, "key": case.key}):
        payload = lighter_payload(tx, case.instance_id, row.payload, limits)
        excess = quota.why_not(row.event_name, payload)
        if excess is not None:
            move(tx, row, EventState.REFUSED, f"came early; {excess}", instance_id=case.instance_id, **NOT_GIVEN)
            continue
        reason = f"came early; for {case.instance_id} as {row.event_name}"
        move(tx, row, EventState.DELIVERING, reason, instance_id=case.instance_id, payload=payload)
        bound += 1
    return bound


def lighter_payload(tx: Transaction, instance_id: str, payload: str, limits: LimitSettings) -> str:
    """What is raised of an event: its large texts stay in the ledger."""
    if len(payload) <= limits.inline_bytes:
        return payload
    return json.dumps(keep_large_texts(tx, instance_id, json.loads(payload), limits.inline_bytes))


NOT_GIVEN = {"event_name": None}
"""An event that its case was never given does not count as given, and may be replayed."""

_INSERT_CASE = insert(cases)
_MAKE_DUE = update(cases).where(cases.c.instance_id == bindparam("this_case"))
_INSERT_TASK = insert(tasks)
_COUNT_GENERATION = update(case_keys).where(
    case_keys.c.workflow == bindparam("this_workflow"), case_keys.c.key == bindparam("this_key")
)
_KNOWN_KEY = select(case_keys.c.generations).where(case_keys.c.workflow == bindparam("workflow"), case_keys.c.key == bindparam("key"))
_CASE_OF = select(cases).where(
    cases.c.workflow == bindparam("workflow"), cases.c.key == bindparam("key"), cases.c.generation == bindparam("generation")
)


@cache
def _lock_key(dialect: str) -> Any:
    """One statement that creates the row or locks it: an update locks, even when it changes nothing."""
    insert_row = upsert(dialect, case_keys)
    touch = insert_row.on_conflict_do_update(
        index_elements=[case_keys.c.workflow, case_keys.c.key], set_={"generations": case_keys.c.generations}
    )
    return touch.returning(case_keys.c.generations)


@cache
def _held_events(dialect: str) -> Any:
    query = (
        select(events)
        .where(events.c.workflow == bindparam("workflow"), events.c.key == bindparam("key"), events.c.state == fixed(EventState.HELD))
        .order_by(events.c.seq)
    )
    return locked(dialect, query)
