"""Patterns that workflows compose with `yield from`: wait for a decision, wait for a payment.

Each wait has a deadline, refuses what the gate refuses and goes on waiting, and asks the ledger before it believes its timer: an
event that arrived in time counts, even if the timer was seen first (ARCHITECTURE, invariant 4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from sayso.contracts.cases import Outcome
from sayso.contracts.catalog import CHANGE_EVENT, WITHDRAW_EVENT, WORKFLOWS
from sayso.contracts.changes import Change
from sayso.contracts.payload import explain
from sayso.contracts.signed import beside
from sayso.contracts.workflow_io import DeadlineInput, RaisedEvent
from sayso.gate import Decision, Refused, Stage, admit, came_late, decide, same_person
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import AT_ONCE, Mailbox

GRACE = timedelta(seconds=1)
"""The timer fires this much later than the deadline, so that what was received in time is in the ledger by then."""
NEVER = datetime.max.replace(tzinfo=UTC)
PENDING_PAUSE_FIRST = timedelta(seconds=1)
PENDING_PAUSE_MAX = timedelta(minutes=5)
PENDING_ROUNDS_MAX = 100
"""How long a decision that is in the ledger in time is waited for while nothing delivers it: about eight hours. So far the engine's
clock may run ahead of the database's, too."""

PAYMENTS = ("payment_received", "payment_failed")
TOO_LATE: Mapping[str, str] = MappingProxyType(
    {"approval_received": "the request has been decided already", WITHDRAW_EVENT: "too late: the order is placed"}
)
"""What comes when the order is placed already, and why it is refused."""
CHANGE_TOO_LATE = "too late: the request has been decided already"


@dataclass(frozen=True)
class Withdrawn:
    """The requester took the request back."""

    requester: str
    reason: str | None
    outcome: Outcome = Outcome.WITHDRAWN
    """`cancelled` when it was an operator who ended it."""


@dataclass(frozen=True)
class Captured:
    """The payment came, in the right amount and currency."""

    payment_id: str | None = None


@dataclass(frozen=True)
class PaymentFailed:
    """The payment system gave up."""

    reason: str


Judge = Callable[[RaisedEvent], Any]
"""Judges one event: `Refused`, or whatever ends the wait."""


def await_decision(journal: Journal, mailbox: Mailbox, requester: str | None, event_name: str = "approval_received") -> Yields:
    """Wait for an accepted decision: a `Decision`, a `Withdrawn`, or None when nobody decided in time.

    A payment that comes meanwhile stays in the mailbox: it may have been published before its purchase.
    """
    deadline = journal.case.opened_at + timedelta(seconds=journal.plan.approval_timeout_seconds)
    plan = journal.plan
    only_members_of = plan.approver_group if plan.approvers_only else None
    stage = Stage(journal.case.workflow, requester, deadline, plan.accept_raw_raise, only_members_of, journal.matter)

    def judge(event: RaisedEvent) -> Decision | Withdrawn | Refused:
        return _withdraw(stage, event) if event.name == WITHDRAW_EVENT else decide(stage, event)

    return (yield from _await(journal, mailbox, stage, (event_name, WITHDRAW_EVENT), judge))


def await_payment(
    journal: Journal, mailbox: Mailbox, amount: Decimal, currency: str, timeout_seconds: float, requester: str | None = None
) -> Yields:
    """Wait for the payment of exactly `amount` in `currency`: `Captured`, `PaymentFailed`, or None when the time is over.

    Of a case with a policy's plan, the requester may still withdraw, and an operator cancel: `Withdrawn`.

    The time begins with the last step, as the ledger has it: a run that begins anew has no more of it than the lost one had. A payment
    that comes after it is not refused but left: the case ends without it, so it is `unclaimed` and its refund is asked for.
    """
    deadline = (journal.recorded_at or journal.now) + timedelta(seconds=timeout_seconds)
    stage = Stage(journal.case.workflow, requester, deadline, journal.plan.accept_raw_raise)
    pays = _payment_judge(amount, currency)
    if journal.plan.approval is None:
        return (yield from _await(journal, mailbox, stage, PAYMENTS, pays, also_takes=TOO_LATE, leaves_late=PAYMENTS))
    changes_mind = (WITHDRAW_EVENT, CHANGE_EVENT)

    def judge(event: RaisedEvent) -> Captured | PaymentFailed | Withdrawn | Refused:
        if event.name == WITHDRAW_EVENT:
            return _withdraw(stage, event)
        return _cancel(event) if event.name == CHANGE_EVENT else pays(event)

    waits_for = (*PAYMENTS, *changes_mind)
    return (yield from _await(journal, mailbox, stage, waits_for, judge, also_takes=TOO_LATE, leaves_late=PAYMENTS))


def take_payment(journal: Journal, mailbox: Mailbox, amount: Decimal, currency: str, wait_seconds: float = 0) -> Yields:
    """As `await_payment`, for who goes on without it: what the ledger had by then is waited for, what came since is taken too.

    So a payment is either taken here or never looked at, and what its binding says of a late one becomes of it.
    """
    until = (journal.recorded_at or journal.now) + timedelta(seconds=wait_seconds)
    stage = Stage(journal.case.workflow, None, NEVER, journal.plan.accept_raw_raise)
    judge = _payment_judge(amount, currency)
    too_late = TOO_LATE if journal.plan.approval is None else (*TOO_LATE, CHANGE_EVENT)
    return (yield from _await(journal, mailbox, stage, PAYMENTS, judge, also_takes=too_late, until=until))


def _payment_judge(amount: Decimal, currency: str) -> Judge:
    def judge(event: RaisedEvent) -> Captured | PaymentFailed | Refused:
        if event.name == CHANGE_EVENT:
            return Refused(CHANGE_TOO_LATE)
        if event.name in TOO_LATE:
            return Refused(TOO_LATE[event.name])
        if event.name == "payment_failed":
            return PaymentFailed(str(event.data.get("reason") or "the payment failed"))
        return _check_amount(event, amount, currency)

    return judge


def _await(
    journal: Journal,
    mailbox: Mailbox,
    stage: Stage,
    waits_for: Collection[str],
    judge: Judge,
    also_takes: Collection[str] = (),
    leaves_late: Collection[str] = (),
    until: datetime | None = None,
) -> Yields:
    """Wait until the stage's deadline, or until another moment, after which nobody is late."""
    deadline = until or stage.deadline
    mailbox.wait_until(deadline, AT_ONCE if until else GRACE)
    pause = PENDING_PAUSE_FIRST
    for _ in range(PENDING_ROUNDS_MAX):
        while (event := (yield from mailbox.next([*waits_for, *also_takes]))) is not None:
            if event.name in leaves_late and came_late(stage, event):
                continue
            validated = validated_event(journal, stage, event)
            verdict = validated if isinstance(validated, Refused) else judge(validated)
            if not isinstance(verdict, Refused) and not isinstance(validated, Refused):
                journal.use(validated)
                return verdict
            journal.refuse(event, verdict.reason)
            yield from journal.record_refusals()
        asked = DeadlineInput(
            case=journal.case,
            deadline=deadline,
            waited_for=list(waits_for),
            handled=journal.handled,
            direct=journal.handled_direct,
        )
        answer = yield from journal.call("confirm_deadline", asked.model_dump(mode="json"))
        early = timedelta(milliseconds=answer.get("early_ms", 0))
        if answer["pending"] == 0 and not early:
            return None
        if early:  # by the ledger's clock, which says what came in time; a short wait, because the engine's may be set back
            mailbox.wait_until(journal.now + min(early + GRACE, PENDING_PAUSE_MAX))
            continue
        mailbox.wait_until(journal.now + pause)
        pause = min(2 * pause, PENDING_PAUSE_MAX)
    return None


def validated_event(journal: Journal, stage: Stage, event: RaisedEvent) -> RaisedEvent | Refused:
    """Hold every event to the contract of its name too: one raised past the ledger was validated by nobody.

    Nothing that the contract does not know is left of it, but for what the ledger's notary has put beside it.
    """
    refusal = admit(stage, event)
    if refusal is not None:
        return refusal
    contract = WORKFLOWS[journal.case.workflow]
    proven = beside(event)
    said = {name: value for name, value in event.data.items() if name not in proven}
    try:
        payload = contract.events[event.name].model_validate({contract.key_field: journal.case.key, **said})
    except ValidationError as error:
        return Refused(explain(error))
    return event.model_copy(update={"data": payload.model_dump(mode="json") | proven})


def _withdraw(stage: Stage, event: RaisedEvent) -> Withdrawn | Refused:
    requester = event.data["requester"]
    if stage.requester is None or not same_person(requester, stage.requester):
        return Refused(f"only the requester ({stage.requester or 'unknown'}) may withdraw, not {requester}")
    return Withdrawn(requester, event.data["reason"])


def _cancel(event: RaisedEvent) -> Withdrawn | Refused:
    """An operator may still end it; for every other change it is too late."""
    if event.data["change"] != Change.CANCEL:
        return Refused(CHANGE_TOO_LATE)
    if event.channel != "operator":
        return Refused("only an operator may cancel")
    return Withdrawn(event.data["actor"], event.data["reason"], Outcome.CANCELLED)


def _check_amount(event: RaisedEvent, amount: Decimal, currency: str) -> Captured | Refused:
    paid, paid_currency = Decimal(event.data["amount"]), event.data["currency"]
    if paid_currency != currency:
        return Refused(f"paid in {paid_currency}, the order is in {currency}")
    if paid != amount:
        return Refused(f"paid {paid:f} {currency}, the order costs {amount:f} {currency}")
    return Captured(event.data["payment_id"])
