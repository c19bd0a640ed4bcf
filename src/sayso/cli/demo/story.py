"""The story: an order is requested, approved, placed and paid; a repetition changes nothing; a payment may come before its order.

Each function is one step: what another system does, and what must come true because of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from uuid import uuid4

from sayso.cli.demo.stage import MissedError, Stage, foreign_event
from sayso.contracts.cloudevent import IncomingEvent, parse_event
from sayso.ledger.queries.events import find_events
from sayso.ledger.queries.views import CaseView

PURCHASE, DECISION, PAYMENT = "com.acme.purchase.requested.v1", "sayso.approval.decided.v1", "com.acme.payment.captured.v1"


@dataclass(frozen=True)
class Order:
    """A fresh order."""

    order_id: str
    cost: Decimal

    @property
    def purchase(self) -> dict[str, object]:
        """What the shop says."""
        cost = format(self.cost, "f")
        request = {"order_id": self.order_id, "cost": cost, "currency": "USD", "product": "laptop", "quantity": 1}
        return {**request, "requester": "alice"}

    @property
    def payment(self) -> dict[str, object]:
        """What the payment system says."""
        payment_id = f"PAY-{self.order_id.removeprefix('PO-')}"
        return {"order_id": self.order_id, "payment_id": payment_id, "amount": format(self.cost, "f"), "currency": "USD"}


def fresh_order(auto_approve_below: Decimal) -> Order:
    """An order that needs approval."""
    return Order(f"PO-{uuid4().hex[:6].upper()}", auto_approve_below + 250)


def play(stage: Stage, auto_approve_below: Decimal) -> tuple[Order, Order]:
    """The whole story; `MissedError` when something in it does not come true."""
    order, early = fresh_order(auto_approve_below), fresh_order(auto_approve_below)
    _request(stage, order)
    _decide(stage, order)
    case = _pay(stage, order)
    _read_outcome(stage, case)
    _pay_before_the_purchase(stage, early)
    return order, early


def _request(stage: Stage, order: Order) -> None:
    stage.heading(f"A shop publishes an order on `purchases`: {order.order_id}, a laptop for {order.cost} USD")
    event, body = foreign_event("/shop", PURCHASE, order.purchase)
    since = stage.publish("purchases", order.order_id, body)
    seen, took = stage.event_in(event, ("started",), since)
    stage.happened(f"event {seen.number} {seen.state}: {seen.reason}", took)
    asked, took = stage.published(f"{seen.case}:requested:approval", since)
    stage.happened("approval requested of the managers, on topic `approval-requests`", took)
    stage.event(asked.body)
    stage.heading("The broker delivers the same order once more, as brokers do")
    since = stage.publish("purchases", order.order_id, body, show=False)
    again, took = stage.wait(
        f"a second sighting of event {seen.number}",
        lambda tx: next((found for found in find_events(tx, f"#{seen.number}") if found.sightings > seen.sightings), None),
        since,
    )
    stage.happened(f"counted on event {again.number}: seen {again.sightings} times; still one case, nothing done twice", took)


def _decide(stage: Stage, order: Order) -> None:
    stage.heading("Bob approves it in another system, which publishes his decision on `approvals`")
    data = {"order_id": order.order_id, "approved": True, "approver": "bob", "reason": "needed for the new colleague"}
    event, body = foreign_event("/desk", DECISION, data)
    since = stage.publish("approvals", order.order_id, _signed(stage, order, body))
    used, took = stage.event_in(event, ("consumed", "refused"), since)
    if used.state != "consumed":
        raise MissedError(f"the decision was {used.state}: {used.reason}")
    stage.happened(f"the workflow woke up and placed the order; event {used.number} {used.state}: {used.reason}", took)
    command, took = stage.published(f"{used.case}:payment-requested", since)
    stage.happened("payment requested, on topic `payment-commands`", took)
    stage.event(command.body)


def _signed(stage: Stage, order: Order, body: bytes) -> bytes:
    """As the other system publishes it."""
    case, _ = stage.case_in(order.order_id, lambda found: found.phase != "closed", "open", time.monotonic())
    return stage.sign("approvals", body, case)


def _pay(stage: Stage, order: Order) -> CaseView:
    event, since = _sent_as_webhook(stage, order) if stage.payment_system is not None else _put_on_topic(stage, order)
    used, took = stage.event_in(event, ("consumed", "refused"), since)
    if used.state != "consumed":
        raise MissedError(f"the payment was {used.state}: {used.reason}")
    stage.happened(f"the workflow woke up again; event {used.number} {used.state}: {used.reason}", took)
    return _ended(stage, order, since)


def _put_on_topic(stage: Stage, order: Order) -> tuple[IncomingEvent, float]:
    stage.heading("The payment system captures the money and says so on `payments`")
    event, body = foreign_event("/payments", PAYMENT, order.payment)
    return event, stage.publish("payments", order.order_id, body)


def _sent_as_webhook(stage: Stage, order: Order) -> tuple[IncomingEvent, float]:
    system = stage.payment_system
    assert system is not None
    stage.heading("The payment system captures the money, and sends the gateway a signed webhook that says so")
    since = time.monotonic()
    system.capture(order.order_id, order.payment)
    told, took = stage.wait(f"the webhook about {order.order_id}", lambda _: system.told(order.order_id), since)
    stage.happened(f"signed webhook accepted by {told.address}: event {told.event_id} is on topic `payments`", took)
    kept, _ = stage.wait(
        f"event {told.event_id} in the ledger", lambda tx: next(iter(find_events(tx, told.event_id, told.source)), None), since
    )
    stage.event(kept.original)
    return parse_event(kept.original), since


def _ended(stage: Stage, order: Order, since: float) -> CaseView:
    case, took = stage.case_in(order.order_id, lambda found: found.phase == "closed", "ended", since)
    if case.outcome != "completed" or not {"approved", "paid"} <= set(case.milestones):
        raise MissedError(
            f"{order.order_id} ended as {case.outcome} ({', '.join(case.milestones)}), not approved and paid: {case.reason}"
        )
    stage.happened(f"case ended: {case.outcome} ({', '.join(case.milestones)}), result {case.result}", took)
    return case


def _read_outcome(stage: Stage, case: CaseView) -> None:
    stage.heading("Whoever waits for the outcome reads it on `outcomes`")
    event_id = f"{case.instance_id}:closed"
    closing, took = stage.published(event_id, time.monotonic())
    stage.happened(f"published, as the ledger's outbox says: {closing.type}", took)
    if stage.broker is None:
        stage.event(closing.body)
        return
    found = stage.broker.find("outcomes", event_id)
    if found is None:
        raise MissedError(f"event {event_id} on topic outcomes, though the ledger says that it was published")
    stage.happened("read back from the topic by a client that knows nothing of Sayso:")
    stage.event(found)


def _pay_before_the_purchase(stage: Stage, order: Order) -> None:
    stage.heading(f"Events overtake each other: the payment of {order.order_id} comes before its order")
    payment, body = foreign_event("/payments", PAYMENT, order.payment)
    since = stage.publish("payments", order.order_id, body)
    held, took = stage.event_in(payment, ("held",), since)
    stage.happened(f"event {held.number} {held.state}: {held.reason}", took)
    stage.heading("Then the order comes, and Bob approves it")
    purchase, body = foreign_event("/shop", PURCHASE, order.purchase)
    since = stage.publish("purchases", order.order_id, body)
    seen, took = stage.event_in(purchase, ("started",), since)
    stage.happened(f"event {seen.number} {seen.state}: {seen.reason}", took)
    data = {"order_id": order.order_id, "approved": True, "approver": "bob"}
    _, body = foreign_event("/desk", DECISION, data)
    since = stage.publish("approvals", order.order_id, _signed(stage, order, body))
    used, took = stage.event_in(payment, ("consumed", "refused", "unclaimed"), since)
    if used.state != "consumed":
        raise MissedError(f"the early payment was {used.state}: {used.reason}")
    stage.happened(f"the payment that had waited was used: event {used.number} {used.state}", took)
    _ended(stage, order, since)
