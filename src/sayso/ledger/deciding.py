"""Steps of an approval that the ledger has a say in: it gives stages their times, and asks the policy about an amended request.

In: a step with where the approval stands. Out: its result, which says where it stands now. Invariants: times begin when the ledger has
recorded that a stage is open, so a rerun has no more of them; what a request becomes is validated like the request itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import bindparam, select

from sayso.contracts.approval_plan import ApprovalPlan
from sayso.contracts.catalog import WORKFLOWS
from sayso.contracts.payload import explain
from sayso.contracts.workflow_io import AMENDED, APPROVAL, DECLINED, CaseInput, Refusal, StepInput
from sayso.errors import MalformedError
from sayso.gate import Refused
from sayso.gate.changes import amend
from sayso.gate.stages import opened
from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.planning import Policies, current_input
from sayso.ledger.schema import cases


def open_stages(tx: Transaction, step: StepInput, policies: Policies) -> dict[str, Any]:
    """The result of opening what the step's approval wants open."""
    given = _given(tx, step)
    if given is None or given.plan.approval is None or step.approval is None:
        return {}
    state = opened(given.plan.approval, step.approval, moment(tx.now_ms), policies.due_at)
    return {APPROVAL: state.model_dump(mode="json")}


def amend_request(tx: Transaction, step: StepInput, policies: Policies) -> dict[str, Any]:
    """The result of changing the request as the step's arguments say: what is asked again now, or why it stays as it was.

    Without changes it is an operator who wants the same request planned by the policy of today.
    """
    given = _given(tx, step)
    if given is None or given.plan.approval is None or step.approval is None:
        return {}
    answer = _amended(tx, given, step, policies)
    return {DECLINED: answer.reason} if isinstance(answer, Refused) else answer


def _amended(tx: Transaction, given: CaseInput, step: StepInput, policies: Policies) -> dict[str, Any] | Refused:
    before, state = given.plan.approval, step.approval
    assert before is not None
    assert state is not None
    now = moment(tx.now_ms)
    planned = _planned(given, step.arguments["changes"], policies, now)
    if isinstance(planned, Refused):
        return planned
    request, changed, after = planned
    kept = {} if changed else {"request_hash": before.request_hash}  # what was signed about the same request goes on to count
    after = after.model_copy(update={"request_version": before.request_version + 1, **kept})
    answer = amend(before, state, after, changed)
    if isinstance(answer, Refused):
        return answer
    if answer.outcome is None:
        answer = opened(after, answer, now, policies.due_at)
    return {
        APPROVAL: answer.model_dump(mode="json"),
        AMENDED: {"request": request, "approval": after.model_dump(mode="json"), "changed": changed},
    }


def _planned(
    given: CaseInput, changes: dict[str, Any], policies: Policies, now: datetime
) -> tuple[dict[str, Any], list[str], ApprovalPlan] | Refused:
    """The request as it becomes, which of its fields differ, and its plan."""
    contract = WORKFLOWS[given.case.workflow]
    try:
        request = contract.request.model_validate({**given.request, **changes}).model_dump(mode="json")
    except ValidationError as error:
        return Refused(f"the request would be malformed: {explain(error)}")
    changed = sorted(name for name, value in request.items() if value != given.request.get(name))
    fixed = {contract.key_field, "requester"} & set(changed)
    if fixed:
        return Refused(f"{', '.join(sorted(fixed))} cannot be changed: withdraw the request, and make another one")
    if changes and not changed:
        return Refused("it changes nothing")
    try:
        after = policies.plan(given.case.workflow, request, now)
    except MalformedError as error:
        return Refused(str(error))
    if after is None:
        return Refused("no policy is in force any more that could say who decides on the request")
    return request, changed, after


def declined(step: StepInput, result: dict[str, Any]) -> StepInput:
    """The step of an amendment that did not come about: its event, the last one used, was refused, and nothing was amended."""
    if DECLINED not in result:
        return step
    *used, seq = step.used if not step.arguments["is_direct"] else (*step.used, None)
    changes = {
        "used": used,
        "direct": step.direct[:-1] if step.arguments["is_direct"] else step.direct,
        "refused": [*step.refused, Refusal(seq=seq, reason=result[DECLINED])],
        "notes": [note for note in step.notes if note.action not in ("amended", "replanned")],
    }
    return step.model_copy(update=changes)


def _given(tx: Transaction, step: StepInput) -> CaseInput | None:
    case = tx.one(_CASE, {"instance_id": step.case.instance_id})
    return current_input(case) if case is not None else None


_CASE = select(cases).where(cases.c.instance_id == bindparam("instance_id"))
