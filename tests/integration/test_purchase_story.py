"""The main job: a purchase event starts a case, other systems' decision and payment wake it, its outcome comes out on a topic."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from running_system import RunningSystem
from shop_events import Event, decision, fresh, payment, purchase
from waiting import eventually

pytestmark = pytest.mark.stack


def through_broker(system: RunningSystem) -> Callable[[Event], None]:
    return system.send


def through_sidecar(system: RunningSystem) -> Callable[[Event], None]:
    return system.publish


@pytest.mark.parametrize("way", [through_broker, through_sidecar])
def test_a_purchase_that_is_approved_and_paid_tells_everyone_and_acts_once(
    system: RunningSystem, way: Callable[[RunningSystem], Callable[[Event], None]]
) -> None:
    send = way(system)
    order = fresh("PO")
    asked, decided, paid = purchase(order), decision(order_id=order, reason="ok"), payment(order)

    send(asked)
    case = system.waiting_for("approval", order)
    send(decided)
    system.waiting_for("payment", order)
    send(paid)
    closed = system.closed(order)

    assert (closed.outcome, json.loads(closed.result)) == ("completed", "Approved by 'bob'")
    assert system.settled(asked, "started").sightings == 1
    assert system.settled(decided, "consumed").instance_id == case.instance_id
    assert system.settled(paid, "consumed").instance_id == case.instance_id
    assert system.effects(order) == [("orders.placed", 1)]

    outcome = system.outcome(order)
    assert (outcome["type"], outcome["id"]) == ("sayso.case.closed.v1", f"{case.instance_id}:closed")
    assert outcome["data"]["milestones"] == ["approved", "placed", "paid"]
    assert (outcome["data"]["outcome"], outcome["data"]["result"]) == ("completed", "Approved by 'bob'")

    (request,) = system.messages_about("approval-requests", order)
    assert (request["type"], request["data"]["case"]) == ("sayso.approval.requested.v1", case.instance_id)
    assert request["data"]["request"]["cost"] == "1250.00"

    (command,) = system.messages_about("payment-commands", order)
    assert command["type"] == "sayso.payment.requested.v1"
    assert (command["data"]["amount"], command["data"]["currency"]) == ("1250.00", "USD")
    assert command["data"]["idempotency_key"] == f"{case.instance_id}/payment-requested"

    (seen,) = eventually(lambda: system.notices(case.instance_id), 10, "the notice to the managers")
    assert (seen.notice.recipient, seen.deliveries) == ("managers", 1)
    assert order in seen.notice.body

    asked_of = system.task(case.instance_id)
    assert asked_of is not None
    assert (asked_of.state, asked_of.decision, asked_of.decided_by) == ("decided", "approve", "bob")


def test_a_purchase_below_the_threshold_passes_without_asking_anybody(system: RunningSystem) -> None:
    order = fresh("PO")
    system.send(purchase(order, cost=999.99))
    closed = system.closed(order)
    assert (closed.outcome, json.loads(closed.result)) == ("auto_approved", "Auto-approved")
    assert system.outcome(order)["data"]["outcome"] == "auto_approved"
    assert system.messages_about("approval-requests", order) == []
    assert system.effects(order) == []


def test_a_purchase_of_exactly_the_threshold_is_asked_for(system: RunningSystem) -> None:
    order = fresh("PO")
    system.send(purchase(order, cost=1000))
    system.waiting_for("approval", order)


def test_a_rejected_purchase_is_cancelled_and_never_placed(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.send(decision(order_id=order, approved=False, reason="too dear"))
    closed = system.closed(order)
    assert (closed.outcome, json.loads(closed.result), closed.reason) == ("rejected", "Rejected by 'bob'", "too dear")
    assert system.effects(order) == [("orders.cancelled", 1)]


def test_an_approver_alone_approves_a_purchase_as_seed_003_says(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    sent = decision(order_id=order)
    del sent["data"]["approved"]
    system.send(sent)
    system.waiting_for("payment", order)
    system.settled(sent, "consumed")


def test_fields_and_attributes_that_nobody_here_knows_change_nothing(system: RunningSystem) -> None:
    order = fresh("PO")
    new = {"delivery_window": {"from": "08:00"}, "tags": ["rush"]}
    asked = {**purchase(order, **new), "acmeregion": "eu"}
    decided, paid = decision(order_id=order, mood="good"), payment(order, acquirer="north", fee=0.3)
    system.send(asked)
    case = system.waiting_for("approval", order)
    assert new.keys().isdisjoint(json.loads(case.input)["request"])
    system.send(decided)
    system.waiting_for("payment", order)
    system.send(paid)
    assert system.closed(order).outcome == "completed"
    assert [system.settled(one, "started", "consumed").reason is not None for one in (asked, decided, paid)] == [True] * 3
