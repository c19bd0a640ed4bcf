"""A payment system of another company publishes by itself, and the case that waits for its payment goes on."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from running_system import RunningSystem
from shop_events import fresh
from waiting import eventually

pytestmark = pytest.mark.stack
SECONDS = 30.0


def pay(system: RunningSystem, order_id: str, key: str, **fields: Any) -> None:
    """What happens when the customer pays, or cannot, at the other company."""
    body = {"order_id": order_id, "amount": "1250.00", "currency": "USD", **fields}
    answer = httpx2.post(
        f"{system.state.partners_url}/captures", json=body, headers={"Idempotency-Key": key}, trust_env=False, timeout=10
    )
    answer.raise_for_status()


def payments_of(system: RunningSystem, order_id: str) -> list[tuple[str, str]]:
    return [(row.source, row.state) for row in system.rows_of_case(order_id) if row.topic == "payments"]


def test_an_order_is_complete_when_the_customer_has_paid_there(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    for _ in range(2):
        pay(system, order, f"{order}-paid")
    assert system.closed(order).outcome == "completed"
    assert payments_of(system, order) == [("/partners/payments", "consumed")]
    pay(system, order, f"{order}-paid-again")
    eventually(lambda: len(payments_of(system, order)) == 2, SECONDS, "the second payment is there")
    late = [row for row in system.rows_of_case(order) if row.topic == "payments"][1]
    eventually(lambda: system.row(late.event_id).state == "late", SECONDS, "it came after the end")
    assert system.row(late.event_id).answered_by is not None


def test_an_order_is_cancelled_when_the_payment_was_declined_there(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    system.approve_purchase(order)
    pay(system, order, f"{order}-paid", declined="card declined")
    case = system.closed(order)
    assert (case.outcome, case.reason) == ("payment_failed", "card declined")
