"""leave_request: the workflow and its one activity. The worker finds them in `WORKFLOWS` and `STEPS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from acme_leave import LeaveRequested
from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import CaseInput, Closing, Notice, StepInput
from sayso.gate import Decision
from sayso.policy import POLICIES, in_words
from sayso.services import PartnerClient
from sayso_worker.activities.effects import Effect
from sayso_worker.workflows.approval import task_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import await_decision


def leave_request(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Decide on `{leave_id, employee, days, first_day}`; a single day passes by itself.

    Waits for: `approval_received`, 5 days. Activities: `book_leave`, `close_case`. Outcomes: `auto_approved`, `approved`, `rejected`,
    `timed_out`, `failed` (the service refused to book it).
    """
    case_input = CaseInput.model_validate(raw)
    leave = LeaveRequested.model_validate(case_input.request)
    journal = Journal(ctx, case_input)
    if POLICIES["leave_request"].automatic(journal.plan, case_input.request):
        return (yield from _book(journal, leave, Outcome.AUTO_APPROVED))
    mailbox = Mailbox(journal, ["approval_received"])
    decision: Decision | None = yield from await_decision(journal, mailbox, leave.employee)
    if decision is None:
        reason = f"No approval received within {in_words(journal.plan.approval_timeout_seconds)}"
        return (yield from journal.close(_closing(leave, Outcome.TIMED_OUT, reason), notices=[_notice(leave, reason)]))
    if not decision.approved:
        closing = _closing(leave, Outcome.REJECTED, decision.reason)
        notice = _notice(leave, f"Rejected by {decision.approver}")
        return (yield from journal.close(closing, decision=task_decision(decision), notices=[notice]))
    return (yield from _book(journal, leave, Outcome.APPROVED, decision=task_decision(decision)))


def _book(journal: Journal, leave: LeaveRequested, outcome: Outcome, **record: Any) -> Yields:
    """Book it and end the case in one step; what the service refuses ends the case as failed."""
    closing = _closing(leave, outcome, None)
    notice = _notice(leave, "Your days off are booked")
    done = yield from journal.step("book_leave", leave.model_dump(mode="json"), closing=closing, notices=[notice], **record)
    if "refused" in done:
        return (yield from journal.close(_closing(leave, Outcome.FAILED, done["refused"]), **record))
    return closing.result


def _closing(leave: LeaveRequested, outcome: Outcome, reason: str | None) -> Closing:
    return Closing(outcome=outcome, result={"status": outcome.value, "leave_id": leave.leave_id}, reason=reason)


def _notice(leave: LeaveRequested, text: str) -> Notice:
    return Notice(name="tell_employee", recipient=leave.employee, title=f"Leave {leave.leave_id}", body=text)


def book_leave(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Book the days; sent again after a crash, it has the same idempotency key, and is booked once."""
    return partners.call("/actions", {"request_id": step.arguments["leave_id"], **step.arguments}, step.idempotency_key)


WORKFLOWS: Mapping[str, Any] = {"leave_request": leave_request}
STEPS: Mapping[str, Effect] = {"book_leave": book_leave}
