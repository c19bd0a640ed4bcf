"""approval_workflow: one approval for anything (docs/seeds.md, 000)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.requests import ApprovalRequest
from sayso.contracts.workflow_io import CaseInput, Closing, Notice, TaskDecision
from sayso.gate import Decision
from sayso_worker.workflows.deciding import asks_nobody, mailbox_for, nobody_decided, request_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.patterns import Withdrawn


def approval_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Approve a request of `{request_id, requester, amount, description}`.

    Waits for: `approval_received`, 3 days (setting). Activities: `execute_approved_action`, `close_case`.
    Notices: `send_approval_request` (when opened), `send_approval_confirmation`, `send_rejection_notification`,
    `send_timeout_notification`. Outcomes: `auto_approved`, `approved`, `rejected`, `timed_out`, `failed`.
    First irreversible step: `execute_approved_action`.

    Where a policy's plan decides: as long as that says, with `open_stages`, `record_approval`, `amend_request`; it also waits for
    `change_requested`, and may end `withdrawn` or `cancelled`.
    """
    case_input = CaseInput.model_validate(raw)
    journal = Journal(ctx, case_input)
    request = journal.asked(ApprovalRequest)
    if asks_nobody(journal):
        result = {"status": "auto_approved", "request_id": request.request_id, "reason": "Amount below approval threshold"}
        return (yield from journal.close(Closing(outcome=Outcome.AUTO_APPROVED, result=result)))
    mailbox = mailbox_for(journal, "approval_received")
    decision: Decision | Withdrawn | None = yield from request_decision(journal, mailbox, request.requester)
    request = journal.asked(ApprovalRequest)
    if decision is None:
        return (yield from _timed_out(journal, request))
    if isinstance(decision, Withdrawn):
        ended = {"status": str(decision.outcome), "request_id": request.request_id, "reason": decision.reason}
        return (yield from journal.close(Closing(outcome=decision.outcome, result=ended, reason=decision.reason)))
    if not decision.approved:
        return (yield from _rejected(journal, request, decision))
    return (yield from _approved(journal, request, decision))


def _timed_out(journal: Journal, request: ApprovalRequest) -> Yields:
    reason = nobody_decided(journal)
    closing = Closing(
        outcome=Outcome.TIMED_OUT, result={"status": "timeout", "request_id": request.request_id, "reason": reason}, reason=reason
    )
    return (yield from journal.close(closing, notices=[_notice("send_timeout_notification", request, reason)]))


def _rejected(journal: Journal, request: ApprovalRequest, decision: Decision) -> Yields:
    result = {
        "status": "rejected",
        "request_id": request.request_id,
        "approver": decision.approver,
        "reason": decision.reason,
    }
    text = f"Rejected by {decision.approver}: {decision.reason or 'no reason given'}"
    return (
        yield from journal.close(
            Closing(outcome=Outcome.REJECTED, result=result, reason=decision.reason),
            decision=task_decision(decision),
            notices=[_notice("send_rejection_notification", request, text)],
        )
    )


def _approved(journal: Journal, request: ApprovalRequest, decision: Decision) -> Yields:
    """The effect and the end of the case are one step: an engine turn less for every approved request."""
    result = {"status": "approved", "request_id": request.request_id, "approver": decision.approver}
    closing = Closing(outcome=Outcome.APPROVED, result=result, milestones=["approved"])
    notice = _notice("send_approval_confirmation", request, f"Approved by {decision.approver}")
    done = yield from journal.step(
        "execute_approved_action",
        request.model_dump(mode="json"),
        decision=task_decision(decision),
        closing=closing,
        notices=[notice],
    )
    if "refused" not in done:
        return result
    failed = Closing(outcome=Outcome.FAILED, result={**result, "status": "failed", "reason": done["refused"]}, reason=done["refused"])
    return (yield from journal.close(failed, decision=task_decision(decision)))


def task_decision(decision: Decision) -> TaskDecision:
    """What becomes of the approval task."""
    verb = "approve" if decision.approved else "reject"
    return TaskDecision(decision=verb, decided_by=decision.approver, comment=decision.reason, channel=decision.channel)


def _notice(name: str, request: ApprovalRequest, text: str) -> Notice:
    return Notice(name=name, recipient=request.requester, title=f"Request {request.request_id}", body=text)
