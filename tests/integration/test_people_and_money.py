"""Who may decide, and what pays: everything else is refused with a reason, and the case stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from running_system import RunningSystem
from shop_events import Event, decision, fresh, payment, request, withdrawal
from waiting import eventually

pytestmark = pytest.mark.stack


def refused_for(system: RunningSystem, sent: Event, reason: str) -> None:
    """The event is refused for exactly this reason, and on the dead letters once."""
    system.send(sent)
    row = system.settled(sent, "refused")
    assert row.reason == reason
    (letter,) = eventually(lambda: system.dead_letters(seq=row.seq), 10, "its dead letter")
    assert letter["saysoreason"] == reason


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"amount": "1249.99"}, "paid 1249.99 USD, the order costs 1250.00 USD"),
        ({"amount": "1250.01"}, "paid 1250.01 USD, the order costs 1250.00 USD"),
        ({"amount": 625}, "paid 625 USD, the order costs 1250.00 USD"),
        ({"amount": 0}, "paid 0 USD, the order costs 1250.00 USD"),
        ({"currency": "eur"}, "paid in EUR, the order is in USD"),
    ],
    ids=["a cent short", "a cent too much", "half of it", "nothing", "another currency"],
)
def test_another_payment_than_the_order_costs_does_not_pay_and_the_right_one_does(
    system: RunningSystem, wrong: dict[str, Any], reason: str
) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    waits = system.approve_purchase(order)
    refused_for(system, payment(order, wrong.get("amount", "1250.00"), currency=wrong.get("currency", "USD")), reason)
    assert system.waiting_for("payment", order).instance_id == waits.instance_id
    assert system.pay_purchase(order).outcome == "completed"
    assert system.effects(order) == [("orders.placed", 1)]


def test_two_halves_do_not_make_a_payment(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    for _ in range(2):
        refused_for(system, payment(order, "625.00"), "paid 625.00 USD, the order costs 1250.00 USD")
    system.waiting_for("payment", order)


@pytest.mark.parametrize("amount", ["1250", "1250.0000", 1250, 1250.0, "1.25e3"])
def test_the_same_amount_in_another_notation_pays(system: RunningSystem, amount: Any) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    system.send(payment(order, amount))
    assert system.closed(order).outcome == "completed"


@pytest.mark.parametrize("spelling", ["alice", "ALICE", " Alice "])
def test_nobody_decides_on_an_own_request(system: RunningSystem, spelling: str) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    name = spelling.strip()
    refused_for(system, decision(order_id=order, by=spelling), f"{name} is the requester; nobody decides on an own request")
    assert system.approve_purchase(order, by="bob").stage == "waits for payment"


def test_the_requester_can_withdraw_while_the_order_waits(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    sent = withdrawal(order, "alice")
    system.send(sent)
    closed = system.closed(order)
    assert (closed.outcome, closed.reason, json.loads(closed.result)) == ("withdrawn", "not needed", "Cancelled")
    system.settled(sent, "consumed")
    assert system.effects(order) == [("orders.cancelled", 1)]


def test_nobody_else_can_withdraw(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    refused_for(system, withdrawal(order, "bob"), "only the requester (alice) may withdraw, not bob")
    system.waiting_for("approval", order)


def test_a_placed_order_can_be_withdrawn_by_its_requester_until_it_is_paid(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    refused_for(system, withdrawal(order, "carol"), "only the requester (alice) may withdraw, not carol")
    system.send(withdrawal(order, "alice"))
    assert system.closed(order).outcome == "withdrawn"
    assert system.effects(order) == [("orders.placed", 1), ("orders.cancelled", 1)]
    paid = payment(order)
    system.send(paid)
    assert system.settled(paid, "late").answered_by is not None


def test_a_second_decision_changes_nothing(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    refused_for(system, decision(order_id=order, approved=False, by="carol"), "the request has been decided already")
    assert system.pay_purchase(order).outcome == "completed"


def test_of_an_approval_and_a_rejection_at_once_exactly_one_counts(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    yes, no = decision(order_id=order, by="bob"), decision(order_id=order, approved=False, by="carol")
    system.send(yes, no)
    states = {
        name: system.settled(sent, "consumed", "refused", "unclaimed", "late").state for name, sent in (("yes", yes), ("no", no))
    }
    assert sorted(states.values()).count("consumed") == 1, states
    case = system.case(order)
    assert case is not None
    asked_of = system.task(case.instance_id)
    assert asked_of is not None
    assert asked_of.decision == ("approve" if states["yes"] == "consumed" else "reject")


def test_a_large_request_is_executed_whole_and_its_history_stays_small(system: RunningSystem) -> None:
    request_id, words = fresh("R"), "Bolts. " * 120_000
    system.send(request(request_id, description=words))
    case = system.waiting_for("approval", request_id, "approval_workflow")
    assert len(case.input) < 10_000
    system.send(decision(request_id=request_id))
    assert system.closed(request_id, "approval_workflow").outcome == "approved"
    assert [body["description"] for body in system.effect_bodies(request_id)] == [words]
    assert len(json.dumps(system.outcome(request_id))) < 10_000
