"""Order does not matter: early events wait for their case, late ones are never swallowed."""

from __future__ import annotations

import hashlib
import json
from itertools import permutations

import pytest
from running_system import RunningSystem
from shop_events import Event, decision, encoded, failed_payment, fresh, payment, purchase
from waiting import eventually

pytestmark = pytest.mark.stack


def test_a_decision_and_a_payment_before_their_purchase_wait_for_it(system: RunningSystem) -> None:
    order = fresh("PO")
    decided, paid, asked = decision(order_id=order), payment(order), purchase(order)
    system.send(paid)
    system.send(decided)
    for early in (decided, paid):
        row = system.settled(early, "held")
        assert row.reason == f"waits for the case purchase_order_workflow with key '{order}'"
    assert system.case(order) is None

    system.send(asked)
    closed = system.closed(order)
    assert (closed.outcome, json.loads(closed.milestones)) == ("completed", ["approved", "placed", "paid"])
    for used in (decided, paid):
        assert system.settled(used, "consumed").instance_id == closed.instance_id
    assert system.effects(order) == [("orders.placed", 1)]


@pytest.mark.parametrize("order_of_sending", list(permutations(("purchase", "decision", "payment"))))
def test_every_order_of_the_three_events_ends_the_same(system: RunningSystem, order_of_sending: tuple[str, ...]) -> None:
    order = fresh("PO")
    sent: dict[str, Event] = {
        "purchase": purchase(order),
        "decision": decision(order_id=order),
        "payment": payment(order),
    }
    system.send(*(sent[name] for name in order_of_sending))
    assert system.closed(order).outcome == "completed"
    assert system.settled(sent["payment"], "consumed")
    assert system.effects(order) == [("orders.placed", 1)]


def test_a_payment_while_the_order_still_waits_for_approval_is_kept(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    paid = payment(order)
    system.send(paid)
    system.settled(paid, "delivered")
    system.send(decision(order_id=order))
    assert system.closed(order).outcome == "completed"
    system.settled(paid, "consumed")


def test_an_early_payment_of_an_order_that_is_rejected_is_unclaimed_and_seen(system: RunningSystem) -> None:
    order = fresh("PO")
    paid = payment(order)
    system.send(paid)
    system.settled(paid, "held")
    system.open_purchase(order)
    system.send(decision(order_id=order, approved=False))
    closed = system.closed(order)
    row = system.settled(paid, "unclaimed")
    assert row.reason == f"{closed.instance_id} ended without using it"
    eventually(lambda: len(system.dead_letters(seq=row.seq)) == 1, 10, "its dead letter")
    assert refund_of(system, order)["data"]["case"] == closed.instance_id


def refund_of(system: RunningSystem, order: str) -> Event:
    """The one refund that is asked for this order, from the topic."""

    def asked() -> list[Event]:
        found = system.messages_about("payment-commands", order)
        return [one for one in found if one["type"] == "sayso.payment.refund-requested.v1"]

    (refund,) = eventually(asked, 10, f"a refund of {order} is asked for")
    return refund


def test_a_payment_after_the_end_is_late_and_on_the_dead_letters(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    closed = system.pay_purchase(order)
    late = payment(order, event_id=fresh("event"))
    system.send(late)
    row = system.settled(late, "late")
    assert row.reason == f"{closed.instance_id} has ended (completed)"

    (letter,) = eventually(lambda: system.dead_letters(seq=row.seq), 10, "its dead letter on the topic")
    marks = {name.removeprefix("sayso"): letter.pop(name) for name in list(letter) if name.startswith("sayso")}
    assert letter == late, "the event as it came"
    assert {name: marks[name] for name in ("state", "reason", "rule", "topic", "case", "attempts")} == {
        "state": "late",
        "reason": row.reason,
        "rule": "payment-captured",
        "topic": "payments",
        "case": closed.instance_id,
        "attempts": 1,
    }
    assert hashlib.sha256(encoded(late)).hexdigest() == marks["digest"]
    for _ in range(3):  # however often it comes again
        system.send(late)
    eventually(lambda: system.row(late["id"]).sightings == 4, 10, "four sightings")
    refund = refund_of(system, order)
    assert (refund["id"], refund["data"]["amount"]) == (f"late:{row.identity}", "1250.00")
    assert refund["data"]["answers"]["id"] == late["id"]
    assert system.case(order) == closed
    assert system.effects(order) == [("orders.placed", 1)]


def test_a_decision_after_the_end_is_late(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.send(decision(order_id=order, approved=False))
    closed = system.closed(order)
    late = decision(order_id=order)
    system.send(late)
    assert system.settled(late, "late").reason == f"{closed.instance_id} has ended (rejected)"


def test_a_failed_payment_cancels_the_order_and_a_later_capture_is_late(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    system.send(failed_payment(order, "card declined"))
    closed = system.closed(order)
    assert (closed.outcome, closed.reason, json.loads(closed.result)) == ("payment_failed", "card declined", "Cancelled")
    assert system.effects(order) == [("orders.placed", 1), ("orders.cancelled", 1)]
    late = payment(order)
    system.send(late)
    system.settled(late, "late")
