"""task_approval_workflow: a manager approves a task (docs/seeds.md, Task approval; one stage, the variant `task_48h`)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.requests import TaskRequested
from sayso.contracts.workflow_io import CaseInput, Closing, Notice
from sayso.gate import Decision
from sayso_worker.workflows.approval import task_decision
from sayso_worker.workflows.deciding import asks_nobody, mailbox_for, nobody_decided, request_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.patterns import Withdrawn


def task_approval_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Approve a task of `{task_id, title, assignee, priority}`; `low` priority passes by itself.

    Waits for: `approval_received`, 48 hours (setting). Activities: `assign_task`, `close_case`. Notices: `send_approval_request`
    (when opened), `send_rejection_notification`, `send_timeout_notification`, to the requester or else the assignee.
    Outcomes: `auto_approved`, `approved`, `rejected`, `timed_out`, `failed`. First irreversible step: `assign_task`.

    Where a policy's plan decides: as long as that says, with `open_stages`, `record_approval`, `amend_request`; it also waits for
    `change_requested`, and may end `withdrawn` or `cancelled`.
    """
    case_input = CaseInput.model_validate(raw)
    journal = Journal(ctx, case_input)
    task = journal.asked(TaskRequested)
    if asks_nobody(journal):
        closing = _closing(task, Outcome.AUTO_APPROVED, "auto_approved", reason="Low priority")
        return (yield from journal.close(closing))
    mailbox = mailbox_for(journal, "approval_received")
    decision: Decision | Withdrawn | None = yield from request_decision(journal, mailbox, task.requester)
    task = journal.asked(TaskRequested)
    if isinstance(decision, Withdrawn):
        return (yield from journal.close(_closing(task, decision.outcome, str(decision.outcome), reason=decision.reason)))
    if decision is None:
        reason = nobody_decided(journal)
        closing = _closing(task, Outcome.TIMED_OUT, "timeout", reason=reason)
        return (yield from journal.close(closing, notices=[_notice("send_timeout_notification", task, reason)]))
    if not decision.approved:
        closing = _closing(task, Outcome.REJECTED, "rejected", approver=decision.approver, reason=decision.reason)
        text = f"Rejected by {decision.approver}: {decision.reason or 'no reason given'}"
        notices = [_notice("send_rejection_notification", task, text)]
        return (yield from journal.close(closing, decision=task_decision(decision), notices=notices))
    closing = _closing(task, Outcome.APPROVED, "approved", approver=decision.approver)
    arguments = task.model_dump(mode="json")
    done = yield from journal.step("assign_task", arguments, decision=task_decision(decision), closing=closing)
    if "refused" in done:
        closing = _closing(task, Outcome.FAILED, "failed", reason=done["refused"])
        return (yield from journal.close(closing, decision=task_decision(decision)))
    return closing.result


def _closing(task: TaskRequested, outcome: Outcome, status: str, **words: str | None) -> Closing:
    milestones = ["approved"] if outcome is Outcome.APPROVED else []
    result = {"status": status, "task_id": task.task_id, **words}
    return Closing(outcome=outcome, result=result, reason=words.get("reason"), milestones=milestones)


def _notice(name: str, task: TaskRequested, text: str) -> Notice:
    return Notice(name=name, recipient=task.requester or task.assignee, title=f"Task {task.task_id}: {task.title}", body=text)
