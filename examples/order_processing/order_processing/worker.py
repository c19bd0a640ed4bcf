"""OrderProcessingWorkflow: orders over the threshold need a manager; its one effect, `place_order`, ships with Sayso."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from order_processing import APPROVAL, WORKFLOW, OrderPayload
from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso.gate import Decision
from sayso.policy import POLICIES, in_words
from sayso_worker.workflows.approval import task_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import await_decision


def order_processing_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Process `{Name, Quantity, TotalCost}`; gives `{Processed: bool}`.

    Waits for: `ManagerApproval`, 3 days. Activities: `place_order`, `close_case`. Outcomes: `auto_approved`, `approved` (processed);
    `rejected`, `timed_out`, `failed` (not).
    """
    case_input = CaseInput.model_validate(raw)
    order = OrderPayload.model_validate(case_input.request)
    journal = Journal(ctx, case_input)
    if POLICIES[WORKFLOW].automatic(journal.plan, case_input.request):
        return (yield from _process(journal, order, Outcome.AUTO_APPROVED))
    mailbox = Mailbox(journal, [APPROVAL])
    decision: Decision | None = yield from await_decision(journal, mailbox, None, APPROVAL)
    if decision is None:
        reason = f"No approval received within {in_words(journal.plan.approval_timeout_seconds)}"
        return (yield from journal.close(_closing(Outcome.TIMED_OUT, reason)))
    if not decision.approved:
        return (yield from journal.close(_closing(Outcome.REJECTED, decision.reason), decision=task_decision(decision)))
    return (yield from _process(journal, order, Outcome.APPROVED, decision=task_decision(decision)))


def _process(journal: Journal, order: OrderPayload, outcome: Outcome, **record: Any) -> Yields:
    arguments = {
        "order_id": order.order_id,
        "product": order.Name,
        "quantity": order.Quantity,
        "amount": f"{order.TotalCost:f}",
        "currency": "USD",
    }
    closing = _closing(outcome, None)
    done = yield from journal.step("place_order", arguments, closing=closing, **record)
    if "refused" in done:
        return (yield from journal.close(_closing(Outcome.FAILED, done["refused"]), **record))
    return closing.result


def _closing(outcome: Outcome, reason: str | None) -> Closing:
    processed = outcome in (Outcome.AUTO_APPROVED, Outcome.APPROVED)
    return Closing(outcome=outcome, result={"Processed": processed}, reason=reason)


WORKFLOWS: Mapping[str, Any] = {WORKFLOW: order_processing_workflow}
