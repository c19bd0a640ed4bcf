"""purchase_order_workflow: approve, place, be paid (docs/seeds.md, 003; the payment is ours)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.catalog import WITHDRAW_EVENT
from sayso.contracts.requests import PurchaseRequested
from sayso.contracts.workflow_io import CaseInput, Closing, OutgoingEvent
from sayso.gate import Decision
from sayso.policy import in_words
from sayso_worker.workflows.approval import task_decision
from sayso_worker.workflows.deciding import asks_nobody, mailbox_for, nobody_decided, request_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import PaymentFailed, Withdrawn, await_payment

EVENTS = ("approval_received", "payment_received", "payment_failed", WITHDRAW_EVENT)


def purchase_order_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Order `{cost, product, quantity}`.

    Waits for: `approval_received` or `withdraw_requested`, 24 hours (setting); then `payment_received` or `payment_failed`,
    7 days (setting). Activities: `place_order`, `cancel_order`, `close_case`. Notice: `send_approval_request` (when opened).
    Outcomes: `auto_approved`, `completed` (approved, placed and paid), `rejected`, `timed_out`, `withdrawn`, `payment_failed`,
    `failed`. First irreversible step: `place_order`.

    Where a policy's plan decides: as long as that says, with `open_stages`, `record_approval`, `amend_request`; it also waits for
    `change_requested`, and may end `cancelled`. `withdraw_requested` counts until the payment, the first irreversible step then.
    """
    case_input = CaseInput.model_validate(raw)
    journal = Journal(ctx, case_input)
    order = journal.asked(PurchaseRequested)
    if asks_nobody(journal):
        return (yield from journal.close(Closing(outcome=Outcome.AUTO_APPROVED, result="Auto-approved")))
    mailbox = mailbox_for(journal, *EVENTS)
    decision: Decision | Withdrawn | None = yield from request_decision(journal, mailbox, order.requester)
    order = journal.asked(PurchaseRequested)
    if decision is None:
        reason = nobody_decided(journal)
        return (yield from _cancel(journal, order, Closing(outcome=Outcome.TIMED_OUT, result="Cancelled", reason=reason)))
    if isinstance(decision, Withdrawn):
        return (yield from _cancel(journal, order, Closing(outcome=decision.outcome, result="Cancelled", reason=decision.reason)))
    if not decision.approved:
        closing = Closing(outcome=Outcome.REJECTED, result=f"Rejected by '{decision.approver}'", reason=decision.reason)
        return (yield from _cancel(journal, order, closing, decision=task_decision(decision)))
    return (yield from _place_and_collect(journal, mailbox, order, decision))


def _place_and_collect(journal: Journal, mailbox: Mailbox, order: PurchaseRequested, decision: Decision) -> Yields:
    timeout_seconds = journal.plan.payment_timeout_seconds or 0
    placed = yield from journal.step(
        "place_order",
        _order(order),
        decision=task_decision(decision),
        publish=[_payment_request(journal, order)],
        stage="waits for payment",
    )
    if "refused" in placed:
        closing = Closing(outcome=Outcome.FAILED, result="Cancelled", reason=f"the order was not taken: {placed['refused']}")
        return (yield from _cancel(journal, order, closing, decision=task_decision(decision)))
    journal.milestones += ["approved", "placed"]
    payment = yield from await_payment(journal, mailbox, order.cost, order.currency, timeout_seconds, order.requester)
    if isinstance(payment, Withdrawn):
        done = [*journal.milestones, "cancelled"]
        closing = Closing(outcome=payment.outcome, result="Cancelled", reason=payment.reason, milestones=done)
        return (yield from _cancel(journal, order, closing))
    if payment is None or isinstance(payment, PaymentFailed):
        reason = payment.reason if payment else f"No payment received within {in_words(timeout_seconds)}"
        closing = Closing(
            outcome=Outcome.PAYMENT_FAILED, result="Cancelled", reason=reason, milestones=[*journal.milestones, "cancelled"]
        )
        return (yield from _cancel(journal, order, closing))
    journal.milestones.append("paid")
    result = f"Approved by '{decision.approver}'"
    return (yield from journal.close(Closing(outcome=Outcome.COMPLETED, result=result, milestones=journal.milestones)))


def _cancel(journal: Journal, order: PurchaseRequested, closing: Closing, **record: Any) -> Yields:
    """Compensate and end the case in one step. Cancelling an order that was never placed is fine: the service remembers it."""
    done = yield from journal.step("cancel_order", _order(order), closing=closing, **record)
    if "refused" in done:
        reason = f"{closing.reason or closing.outcome}; cancelling was refused: {done['refused']}"
        return (yield from journal.close(closing.model_copy(update={"reason": reason}), **record))
    return closing.result


def _order(order: PurchaseRequested) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "product": order.product,
        "quantity": order.quantity,
        "amount": format(order.cost, "f"),
        "currency": order.currency,
    }


def _payment_request(journal: Journal, order: PurchaseRequested) -> OutgoingEvent:
    slot = "payment-requested"
    return OutgoingEvent(
        slot=slot,
        topic="payment-commands",
        type="sayso.payment.requested.v1",
        data={
            "order_id": order.order_id,
            "case": journal.case.instance_id,
            "amount": format(order.cost, "f"),
            "currency": order.currency,
            "idempotency_key": f"{journal.case.instance_id}/{slot}",
        },
    )
