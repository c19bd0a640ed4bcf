"""Patterns that workflows compose with `yield from`: wait for a decision, wait for a payment.

Each wait has a deadline, refuses what the gate refuses and goes on waiting, and asks the ledger before it believes its timer: an
event that arrived in time counts, even if the timer was seen first (DESIGN §3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sayso.contracts.catalog import WITHDRAW_EVENT
from sayso.contracts.workflow_io import DeadlineInput, RaisedEvent
from sayso.gate import Decision, Refused, Stage, admit, decide, same_person
from sayso_worker.workflows.journal import STEP_RETRIES, Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox

GRACE = timedelta(seconds=1)
"""The timer fires this much later than the deadline, so that what was received in time is in the ledger by then."""
PENDING_PAUSE = timedelta(seconds=5)
PENDING_ROUNDS_MAX = 100


@dataclass(frozen=True)
class Withdrawn:
    """The requester took the request back."""

    requester: str
    reason: str | None


@dataclass(frozen=True)
class Captured:
    """The payment came, in the right amount and currency."""


@dataclass(frozen=True)
class PaymentFailed:
    """The payment system gave up."""

    reason: str


Judge = Callable[[RaisedEvent], Any]
"""Judges one event: `Refused`, or whatever ends the wait."""


def await_decision(journal: Journal, mailbox: Mailbox, requester: str | None) -> Yields:
    """Wait for an accepted decision: a `Decision`, a `Withdrawn`, or None when nobody decided in time."""
    deadline = journal.case.opened_at + timedelta(seconds=journal.plan.approval_timeout_seconds)
    stage = Stage(journal.case.workflow, requester, deadline, journal.plan.accept_raw_raise)

    def judge(event: RaisedEvent) -> Decision | Withdrawn | Refused:
        if event.name == WITHDRAW_EVENT:
            return _withdraw(stage, event)
        if event.name != "approval_received":
            return Refused("no payment has been asked for yet")
        return decide(stage, event)

    return (yield from _await(journal, mailbox, deadline, ["approval_received", WITHDRAW_EVENT], judge))


def await_payment(journal: Journal, mailbox: Mailbox, amount: Decimal, currency: str, timeout_seconds: float) -> Yields:
    """Wait for the payment of exactly `amount` in `currency`: `Captured`, `PaymentFailed`, or None when the time is over."""
    deadline = journal.now + timedelta(seconds=timeout_seconds)
    stage = Stage(journal.case.workflow, None, deadline, journal.plan.accept_raw_raise)

    def judge(event: RaisedEvent) -> Captured | PaymentFailed | Refused:
        if event.name == "approval_received":
            return Refused("the request has been decided already")
        if event.name == WITHDRAW_EVENT:
            return Refused("too late: the order is placed")
        refusal = admit(stage, event)
        if refusal is not None:
            return refusal
        if event.name == "payment_failed":
            return PaymentFailed(str(event.data.get("reason") or "the payment failed"))
        return _check_amount(event, amount, currency)

    return (yield from _await(journal, mailbox, deadline, ["payment_received", "payment_failed"], judge))


def _await(journal: Journal, mailbox: Mailbox, deadline: datetime, names: list[str], judge: Judge) -> Yields:
    mailbox.wait_until(deadline, GRACE)
    rounds = 0
    while rounds < PENDING_ROUNDS_MAX:
        event = yield from mailbox.next()
        if event is None:
            asked = DeadlineInput(case=journal.case, deadline=deadline, waited_for=names, handled=journal.handled)
            answer = yield journal.ctx.call_activity(
                "confirm_deadline", input=asked.model_dump(mode="json"), retry_policy=STEP_RETRIES
            )
            if answer["pending"] == 0:
                return None
            rounds += 1
            mailbox.wait_until(journal.now + PENDING_PAUSE)
            continue
        verdict = judge(event)
        if not isinstance(verdict, Refused):
            journal.use(event)
            return verdict
        journal.refuse(event, verdict.reason)
        yield from journal.record_refusals()
    return None


def _withdraw(stage: Stage, event: RaisedEvent) -> Withdrawn | Refused:
    requester = event.data.get("requester")
    refusal = admit(stage, event)
    if refusal is not None:
        return refusal
    if stage.requester is None or not isinstance(requester, str) or not same_person(requester, stage.requester):
        return Refused(f"only the requester ({stage.requester or 'unknown'}) may withdraw, not {requester}")
    return Withdrawn(requester, event.data.get("reason"))


def _check_amount(event: RaisedEvent, amount: Decimal, currency: str) -> Captured | Refused:
    try:
        paid = Decimal(str(event.data["amount"]))
    except (KeyError, ArithmeticError):
        return Refused("the payment says no amount")
    paid_currency = str(event.data.get("currency", "")).upper()
    if paid_currency != currency:
        return Refused(f"paid in {paid_currency or 'no currency'}, the order is in {currency}")
    if paid != amount:
        return Refused(f"paid {paid:f} {currency}, the order costs {amount:f} {currency}")
    return Captured()
