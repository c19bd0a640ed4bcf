"""Rerunning a case whose workflow failed in the engine: a new generation that goes on where the failed one stopped.

In: a closed case that its workflow did not end itself. Out: an open case of the same key, with the failed one's request, plan,
recorded steps and decided task. Invariants: a step that was recorded is not done again, and one that may have had its effect without
being recorded keeps its idempotency key (`CaseRef.effects_of`), so no effect happens twice; what the failed run had used is raised to
the new one first, what it had not used is routed again, unless its coming too late was answered (ADR 0005).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Row, Table, bindparam, insert, select, update

from sayso.contracts.workflow_io import CaseInput, CaseRef
from sayso.ledger import audit
from sayso.ledger.adopting import DIRECT, OPERATOR, RECOVERED
from sayso.ledger.cases import Rules, ask_for_approval, bind_held_events
from sayso.ledger.database import Transaction
from sayso.ledger.driving import STARTING
from sayso.ledger.event_rows import drive_again
from sayso.ledger.identifiers import instance_id as make_instance_id
from sayso.ledger.outbox import moment
from sayso.ledger.planning import begun_anew
from sayso.ledger.schema import case_keys, cases, claims, events, steps, tasks
from sayso.ledger.statements import beside_case, locked
from sayso.ledger.states import EventState
from sayso.policy import passes_by_itself

FAILED = "FAILED"
CHANNEL = "operator"
UNROUTED = dict.fromkeys(("binding", "workflow", "key", "event_name", "payload", "instance_id"))


def why_not(case: Row[Any], generations: int) -> str | None:
    """Why this case is not rerun; None when it may be."""
    if case.phase != "closed":
        return "it is open"
    if case.ended_as != FAILED:
        return f"its workflow ended it by its own rules ({case.outcome}); a new request opens a new case"
    if case.generation != generations:
        return f"it has been followed by generation {generations}"
    return None


def rerun(tx: Transaction, failed: Row[Any], rules: Rules, generation: int, *, actor: str, reason: str) -> str:
    """Open the new generation; returns its instance id. The caller holds the lock and has asked `why_not`."""
    given = CaseInput.model_validate_json(failed.input)
    case = CaseRef(
        workflow=failed.workflow,
        key=failed.key,
        generation=generation,
        instance_id=make_instance_id(failed.workflow, failed.key, generation, rules.ledger_id),
        opened_at=moment(tx.now_ms),
        effects_of=given.case.matter,
    )
    case_input = given.model_copy(update={"case": case})
    if not _has_decided(tx, failed):
        case_input = begun_anew(case_input, case.opened_at, rules.policies)
    tx.run(_COUNT_GENERATION, {"this_workflow": case.workflow, "this_key": case.key, "generations": generation})
    tx.run(_INSERT_CASE, _row_of(tx, case_input, failed))
    for table in (steps, claims):
        _copy(tx, table, failed.instance_id, case.instance_id)
    audit.record(
        tx, "case-retried", actor=actor, channel=CHANNEL, instance_id=case.instance_id, reason=reason, rerun_of=failed.instance_id
    )
    _copy_or_ask(tx, case_input, failed)
    for row in tx.all(_unclaimed(tx.dialect), {"instance_id": failed.instance_id}):
        drive_again(tx, row, f"{failed.instance_id} is rerun as {case.instance_id}; was {row.state}", **UNROUTED)
    bind_held_events(tx, case, rules.settings.limits)
    return case.instance_id


def _row_of(tx: Transaction, case_input: CaseInput, failed: Row[Any]) -> dict[str, Any]:
    case = case_input.case
    return {
        "instance_id": case.instance_id,
        "workflow": case.workflow,
        "key": case.key,
        "generation": case.generation,
        "phase": STARTING,
        "stage": "goes on where it failed",
        "input": case_input.model_dump_json(),
        "opened_by": failed.opened_by,
        "opened_at_ms": tx.now_ms,
        "updated_at_ms": tx.now_ms,
        "attempts": 0,
        "due_at_ms": tx.now_ms,
        "raise_after": 0,  # what the failed run had used comes first
        "rerun_of": failed.instance_id,
        "amended": failed.amended,
    }


def _copy(tx: Transaction, table: Table, before: str, after: str) -> None:
    for row in tx.all(select(table).where(table.c.instance_id == before)):
        tx.run(insert(table), {**row._mapping, "instance_id": after})


def _has_decided(tx: Transaction, failed: Row[Any]) -> bool:
    return tx.one(_DECIDED, {"instance_id": failed.instance_id}) is not None


def _copy_or_ask(tx: Transaction, case_input: CaseInput, failed: Row[Any]) -> None:
    """Nobody is asked for what has been decided."""
    if _has_decided(tx, failed):
        _copy(tx, tasks, failed.instance_id, case_input.case.instance_id)
    elif not passes_by_itself(case_input.case.workflow, case_input.plan, case_input.request):
        ask_for_approval(tx, case_input, tx.now_ms)


_DECIDED = select(tasks.c.stage).where(tasks.c.instance_id == bindparam("instance_id"), tasks.c.state == "decided").limit(1)
_INSERT_CASE: Any = insert(cases)
_COUNT_GENERATION = update(case_keys).where(
    case_keys.c.workflow == bindparam("this_workflow"), case_keys.c.key == bindparam("this_key")
)


@cache
def _unclaimed(dialect: str) -> Any:
    query = select(events).where(
        events.c.instance_id == bindparam("instance_id"),
        beside_case(dialect, events.c.state) == EventState.UNCLAIMED.value,
        events.c.answered_by.is_(None),
        events.c.topic.not_in([DIRECT, RECOVERED, OPERATOR]),  # their bytes are no events that could be routed
    )
    return locked(dialect, query.order_by(events.c.seq))
