"""request_escalation: small orders pass by themselves, a human decides on the others (docs/seeds.md, 004)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.requests import EscalationRequested
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso.gate import Decision
from sayso_worker.workflows.approval import task_decision
from sayso_worker.workflows.deciding import asks_nobody, mailbox_for, nobody_decided, request_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.patterns import Withdrawn

EVENT = "human_approval"


def request_escalation(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Decide on an order of `{request_id, amount, requester, currency, description}`.

    Waits for: `human_approval`, 7 days (setting). Activities: `auto_approve_activity`, `handle_timeout_activity` or
    `process_approval_activity`, which gets the decision, a rejection too; `close_case` when the service refuses one of them.
    Notice: `send_approval_request` (when opened). Outcomes: `auto_approved`, `approved`, `rejected`, `timed_out`, `failed`.
    First irreversible step: whichever of the three tells the service.

    Where a policy's plan decides: as long as that says, with `open_stages`, `record_approval`, `amend_request`; it also waits for
    `change_requested`, and may end `withdrawn` or `cancelled`.
    """
    case_input = CaseInput.model_validate(raw)
    journal = Journal(ctx, case_input)
    order = journal.asked(EscalationRequested)
    if asks_nobody(journal):
        return (yield from _settle(journal, order, "auto_approve_activity", _closing(order, Outcome.AUTO_APPROVED, "auto_approved")))
    mailbox = mailbox_for(journal, EVENT)
    decision: Decision | Withdrawn | None = yield from request_decision(journal, mailbox, order.requester, EVENT)
    order = journal.asked(EscalationRequested)
    if isinstance(decision, Withdrawn):
        closing = _closing(order, decision.outcome, str(decision.outcome), reason=decision.reason)
        return (yield from journal.close(closing))
    if decision is None:
        reason = nobody_decided(journal)
        closing = _closing(order, Outcome.TIMED_OUT, "timeout", reason=reason)
        return (yield from _settle(journal, order, "handle_timeout_activity", closing))
    outcome = Outcome.APPROVED if decision.approved else Outcome.REJECTED
    closing = _closing(order, outcome, str(outcome), approver=decision.approver, reason=decision.reason)
    return (yield from _settle(journal, order, "process_approval_activity", closing, decision=task_decision(decision)))


def _settle(journal: Journal, order: EscalationRequested, activity: str, closing: Closing, **record: Any) -> Yields:
    """Tell the service what was decided, and end the case, in one step."""
    arguments = {**order.model_dump(mode="json"), "decision": closing.result}
    done = yield from journal.step(activity, arguments, closing=closing, **record)
    if "refused" not in done:
        return closing.result
    result = {**closing.result, "status": "failed", "reason": done["refused"]}
    failed = Closing(outcome=Outcome.FAILED, result=result, reason=done["refused"])
    return (yield from journal.close(failed, **record))


def _closing(order: EscalationRequested, outcome: Outcome, status: str, **words: str | None) -> Closing:
    milestones = ["approved"] if outcome is Outcome.APPROVED else []
    result = {"status": status, "request_id": order.request_id, **words}
    return Closing(outcome=outcome, result=result, reason=words.get("reason"), milestones=milestones)
