"""What other systems ask for: the events that start a case. The models are also the workflows' inputs.

Source of names and shapes: docs/seeds.md, sections approval_workflow (000), purchase_order_workflow (003), Task approval (000-002).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from sayso.contracts.money import DEFAULT_CURRENCY, Amount, Currency
from sayso.contracts.payload import Key, Payload, Person


class ApprovalRequest(Payload):
    """`com.acme.request.submitted.v1`: anything that needs a yes; below the threshold it is approved by itself."""

    request_id: Key
    requester: Person
    amount: Amount
    currency: Currency = DEFAULT_CURRENCY
    description: str = ""


class EscalationRequested(Payload):
    """`com.acme.order.approval-requested.v1`: an order that a human approves, unless it is small. No amount: malformed."""

    request_id: Key
    amount: Amount
    requester: Person | None = None
    currency: Currency = DEFAULT_CURRENCY
    description: str = ""


class PurchaseRequested(Payload):
    """`com.acme.purchase.requested.v1`: an order of `quantity` of `product` for `cost` in all."""

    order_id: Key
    cost: Amount
    product: str = Field(min_length=1)
    quantity: Annotated[int, Field(ge=1, strict=True)]
    currency: Currency = DEFAULT_CURRENCY
    requester: Person | None = None
    category: str | None = None


class PurchaseWithdrawn(Payload):
    """`com.acme.purchase.withdrawn.v1`: the requester takes the order back while it waits."""

    order_id: Key
    requester: Person
    reason: str | None = None


class Priority(StrEnum):
    """The known priorities of a task; `low` is approved by itself, an unknown one is malformed."""

    LOW = "low"
    MEDIUM = "medium"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"
    CRITICAL = "critical"


class TaskRequested(Payload):
    """`com.acme.task.requested.v1`: a task for `assignee` that a manager approves."""

    task_id: Key
    title: str = Field(min_length=1)
    assignee: Person
    priority: Priority
    requester: Person | None = None
