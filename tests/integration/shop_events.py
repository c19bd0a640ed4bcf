"""The CloudEvents that other systems of an example company send: shop, office, payment system, approvers.

In: a business key and what the test cares about. Out: a CloudEvent as a dict; `encoded` gives its bytes.
"""

from __future__ import annotations

import itertools
import json
import secrets
from typing import Any

from sayso.contracts.catalog import EVENT_TYPES

Event = dict[str, Any]
_numbers = itertools.count(1)
_made: list[Event] = []
_run = secrets.token_hex(3)


def fresh(prefix: str) -> str:
    """A business key that nobody has used."""
    return f"{prefix}-{_run}-{next(_numbers)}"


def event(event_type: str, data: Any, *, event_id: str | None = None, source: str = "/shop", **attributes: Any) -> Event:
    """A CloudEvent of any type."""
    made = {
        "specversion": "1.0",
        "id": event_id or fresh("event"),
        "source": source,
        "type": event_type,
        "datacontenttype": "application/json",
        **attributes,
        "data": data,
    }
    _made.append(made)
    return made


def requests_made(before: int) -> tuple[int, list[Event]]:
    """How many events were written until now, and those behind the first so many that may be requests, about which others decide."""
    written = _made[before:]
    return len(_made), [one for one in written if one.get("type") in EVENT_TYPES and one["type"] != "sayso.approval.decided.v1"]


def purchase(order_id: str, *, event_id: str | None = None, source: str = "/shop", **fields: Any) -> Event:
    """An order of 1250.00 USD by alice."""
    data = {"order_id": order_id, "cost": "1250.00", "product": "Laptop", "quantity": 1, "requester": "alice", **fields}
    return event("com.acme.purchase.requested.v1", data, event_id=event_id, source=source)


def withdrawal(order_id: str, requester: str) -> Event:
    """The order is taken back."""
    return event("com.acme.purchase.withdrawn.v1", {"order_id": order_id, "requester": requester, "reason": "not needed"})


def payment(order_id: str, amount: Any = "1250.00", *, event_id: str | None = None, **fields: Any) -> Event:
    """1250.00 USD were captured."""
    data = {"order_id": order_id, "payment_id": "pay-1", "amount": amount, "currency": "USD", **fields}
    return event("com.acme.payment.captured.v1", data, event_id=event_id, source="/payments")


def failed_payment(order_id: str, reason: str) -> Event:
    """The payment failed for good."""
    return event("com.acme.payment.failed.v1", {"order_id": order_id, "reason": reason}, source="/payments")


def request(request_id: str, amount: Any = 2500, **fields: Any) -> Event:
    """A request of alice."""
    data = {"request_id": request_id, "requester": "alice", "amount": amount, "description": "Conference", **fields}
    return event("com.acme.request.submitted.v1", data, source="/office")


def task(task_id: str, priority: str = "high", **fields: Any) -> Event:
    """A task for bob, asked for by alice."""
    data = {"task_id": task_id, "title": "Move the servers", "assignee": "bob", "priority": priority, "requester": "alice", **fields}
    return event("com.acme.task.requested.v1", data, source="/office")


def decision(*, approved: bool = True, by: str = "bob", event_id: str | None = None, **fields: Any) -> Event:
    """A decision of bob; name the case by order_id, request_id or task_id."""
    data = {"approved": approved, "approver": by, **fields}
    return event("sayso.approval.decided.v1", data, event_id=event_id, source="/approvers")


def topic_of(one: Event) -> str:
    """The topic on which its type travels."""
    return EVENT_TYPES[one["type"]].topic


def encoded(one: Event) -> bytes:
    """Its bytes on the wire."""
    return json.dumps(one).encode()
