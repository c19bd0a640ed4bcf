"""Rebuilding: what the engine knows of a case and the ledger does not, because the ledger was put back to an earlier state.

In: the account that an instance's history gives, and the bindings of today. Out: the case, its events and its steps in the ledger, in
one transaction, by the functions that recorded them the first time; so what is known already stays as it is, and what is published
keeps its id.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, insert, select, update

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import Account, CaseInput, Closing, StepInput
from sayso.correlation.bindings import Bindings
from sayso.ledger import audit
from sayso.ledger.adopting import adopt, adopt_start
from sayso.ledger.alerts import alert
from sayso.ledger.cases import ask_for_approval, bind_held_events, lock_case_key
from sayso.ledger.closing import close_case
from sayso.ledger.database import Transaction
from sayso.ledger.driving import RUNNING
from sayso.ledger.reconciling import Check, locked_case
from sayso.ledger.schema import case_keys, cases
from sayso.ledger.steps import complete_step
from sayso.policy import STAGE, passes_by_itself
from sayso.settings import LimitSettings

TERMINATED, FAILED = "TERMINATED", "FAILED"
"""How the engine calls the end of an instance that somebody ended, or whose workflow raised an error."""
NO_EFFECT = ("refused", "skipped")
"""Results of steps that recorded nothing."""


def record_account(tx: Transaction, account: Account, bindings: Bindings) -> bool:
    """Record what is missing. False when the case cannot be rebuilt now, because an earlier one of its key is open."""
    ref = account.given.case
    generations = lock_case_key(tx, ref.workflow, ref.key)
    case = tx.one(_CASE, {"instance_id": ref.instance_id})
    if case is None:
        if ref.generation <= generations:
            return True  # it was here and was pruned
        if tx.one(_OPEN, {"workflow": ref.workflow, "key": ref.key}) is not None:
            return False
        _insert_case(tx, account.given, account.run)
    elif case.phase == "closed":
        return True
    numbers: dict[int | None, int] = {
        event.seq: adopt(tx, ref, event, bindings.rules_for(ref.workflow, event.name))
        for event in account.raised
        if event.seq is not None
    }
    for step, result in account.steps:
        if not any(word in result for word in NO_EFFECT):
            complete_step(tx, _renumbered(step, numbers), result)
    return True


def close_by_engine(
    tx: Transaction, check: Check, account: Account | None, status: str, failure: str | None, bindings: Bindings
) -> Outcome | None:
    """The instance has ended: its case ends as its workflow ended it, else as `failed` (`cancelled` if it was terminated), with an
    alert. None: it had ended already.
    """
    before = locked_case(tx, check)
    if before is None:
        return None
    if account is not None:
        record_account(tx, account, bindings)
    case = tx.one(_CASE, {"instance_id": check.instance_id})
    assert case is not None
    if case.phase == "closed":
        audit.record(tx, "case-closed-by-engine", instance_id=check.instance_id, channel="reconciler", outcome=case.outcome)
        return Outcome(case.outcome)
    how = f"the workflow has ended in the engine ({status.lower()})"
    reason = f"{how}: {failure}" if failure else f"{how} without closing its case"
    ref = CaseInput.model_validate_json(case.input).case
    outcome = Outcome.CANCELLED if status == TERMINATED else Outcome.FAILED
    ended_as = status if status in (TERMINATED, FAILED) else None
    close_case(tx, ref, Closing(outcome=outcome, result=None, reason=reason), case.opened_at_ms, ended_as)
    alert(tx, "case-failed", occurrence=ref.instance_id, reason=reason, instance_id=ref.instance_id)
    return outcome


def _renumbered(step: StepInput, numbers: dict[int | None, int]) -> StepInput:
    """The step with the numbers that its events have here."""
    used = [numbers.get(seq, seq) for seq in step.used]
    refused = [refusal.model_copy(update={"seq": numbers.get(refusal.seq, refusal.seq)}) for refusal in step.refused]
    return step.model_copy(update={"used": used, "refused": refused})


def _insert_case(tx: Transaction, given: CaseInput, run: int) -> None:
    ref = given.case
    opened_at_ms = round(ref.opened_at.timestamp() * 1000)
    automatic = passes_by_itself(ref.workflow, given.plan, given.request)
    generation = {"this_workflow": ref.workflow, "this_key": ref.key, "generations": ref.generation}
    tx.run(_COUNT_GENERATION, generation)
    values = {
        "instance_id": ref.instance_id,
        "workflow": ref.workflow,
        "key": ref.key,
        "generation": ref.generation,
        "phase": RUNNING,
        "stage": None if automatic else f"waits for {STAGE}",
        "input": given.model_dump_json(),
        "opened_by": adopt_start(tx, given),
        "opened_at_ms": opened_at_ms,
        "started_at_ms": opened_at_ms,
        "updated_at_ms": tx.now_ms,
        "attempts": 0,
        "run": run,
        "due_at_ms": tx.now_ms,
        "check_at_ms": tx.now_ms,
    }
    tx.run(_INSERT_CASE, values)
    if not automatic:
        ask_for_approval(tx, given, opened_at_ms)
    audit.record(tx, "case-rebuilt", instance_id=ref.instance_id, channel="reconciler", workflow=ref.workflow, key=ref.key)
    bind_held_events(tx, ref, LimitSettings())


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
_OPEN = select(cases.c.instance_id).where(
    cases.c.workflow == bindparam("workflow"), cases.c.key == bindparam("key"), cases.c.phase != "closed"
)
_INSERT_CASE: Any = insert(cases)
_COUNT_GENERATION = update(case_keys).where(
    case_keys.c.workflow == bindparam("this_workflow"), case_keys.c.key == bindparam("this_key")
)
