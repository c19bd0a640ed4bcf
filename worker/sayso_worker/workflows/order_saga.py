"""order_saga: reserve, charge, ship; or none of it (docs/seeds.md, order saga, 000). Large orders are approved first."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.sagas import OrderPlaced
from sayso.contracts.workflow_io import CaseInput, Closing, TaskDecision
from sayso.gate import Decision
from sayso_worker.workflows.approval import task_decision
from sayso_worker.workflows.deciding import asks_nobody, mailbox_for, nobody_decided, request_decision
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import Captured, PaymentFailed, Withdrawn, take_payment
from sayso_worker.workflows.saga import Saga, StepFailedError

EVENTS = ("approval_received", "payment_received", "payment_failed")


def order_saga(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Fulfil an order `{order_id, product, quantity, amount, currency}`.

    Waits for: from the threshold on `approval_received`, 24 hours (settings). Activities, with their undos: `reserve_inventory`
    (`release_inventory`), `process_payment` (`refund_payment`), `ship_order` (`cancel_shipment`); `close_case`. Outcomes: `completed`;
    `rejected`, `timed_out`; `compensated`, `failed` (an undo failed). Result: `{status, order_id, error}`. First irreversible step:
    `reserve_inventory`.

    Where a policy's plan decides: as long as that says, with `open_stages`, `record_approval`, `amend_request`; it also waits for
    `change_requested`, and may end `withdrawn` or `cancelled`.

    Payment: once the goods are reserved, a payment of exactly this amount that has reached the ledger is taken in place of a charge,
    and its undo is the refund of that payment; `payment_failed` fails the order. Otherwise the order is charged, and a payment that
    comes later is given back, as its binding says (`on_late`). So whatever comes when, the customer pays once, or not at all.
    """
    case_input = CaseInput.model_validate(raw)
    journal = Journal(ctx, case_input)
    order = journal.asked(OrderPlaced)
    mailbox = mailbox_for(journal, *EVENTS)
    decision: Decision | None = None
    if not asks_nobody(journal):
        answer: Decision | Withdrawn | None = yield from request_decision(journal, mailbox, order.requester)
        order = journal.asked(OrderPlaced)
        if answer is None:
            return (yield from _close(journal, order, Outcome.TIMED_OUT, "timeout", nobody_decided(journal)))
        if isinstance(answer, Withdrawn):
            return (yield from _close(journal, order, answer.outcome, str(answer.outcome), answer.reason))
        decision = answer
        if not decision.approved:
            outcome = Outcome.REJECTED
            return (yield from _close(journal, order, outcome, "rejected", decision.reason, decision=task_decision(decision)))
        journal.milestones.append("approved")
    saga = Saga(journal)
    try:
        yield from _fulfil(journal, mailbox, saga, order, task_decision(decision) if decision else None)
    except StepFailedError as failure:
        outcome = yield from saga.undo_all()
        return (yield from _close(journal, order, outcome, "failed", str(failure)))
    return (yield from _close(journal, order, Outcome.COMPLETED, "success", None))


def _fulfil(journal: Journal, mailbox: Mailbox, saga: Saga, order: OrderPlaced, decision: TaskDecision | None) -> Yields:
    given = order.model_dump(mode="json")
    yield from saga.step("reserve_inventory", "release_inventory", given, decision=decision)
    wait_seconds = journal.plan.payment_timeout_seconds or 0
    payment = yield from take_payment(journal, mailbox, order.amount, order.currency, wait_seconds)
    if isinstance(payment, PaymentFailed):
        raise StepFailedError(payment.reason)
    if isinstance(payment, Captured):
        captured = {"payment_id": payment.payment_id, "captured": True}
        saga.undo_later("payment_received", "refund_payment", given, captured)
        journal.milestones.append("paid already")
    else:
        yield from saga.step("process_payment", "refund_payment", given)
    yield from saga.step("ship_order", "cancel_shipment", given)


def _close(journal: Journal, order: OrderPlaced, outcome: Outcome, status: str, error: str | None, **record: Any) -> Yields:
    result = {"status": status, "order_id": order.order_id, "error": error}
    closing = Closing(outcome=outcome, result=result, reason=error, milestones=journal.milestones)
    return (yield from journal.close(closing, **record))
