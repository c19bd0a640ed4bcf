"""Sagas: the events that start them, what they return, and what Sayso says when one cannot be undone.

Source of names and shapes: docs/seeds.md, sections task_processing_saga and order saga (000), book_trip (004).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from sayso.contracts.money import DEFAULT_CURRENCY, Amount, Currency
from sayso.contracts.payload import Key, Payload, Person
from sayso.contracts.requests import Priority


class TaskSubmitted(Payload):
    """`com.acme.task.submitted.v1`: a task that is to be recorded, given to `assignee` and shown, all of it or nothing."""

    task_id: Key
    title: str = Field(min_length=1)
    assignee: Person
    priority: Priority


class OrderPlaced(Payload):
    """`com.acme.order.placed.v1`: an order of `quantity` of `product` for `amount` in all, to be reserved, paid and shipped."""

    order_id: Key
    product: str = Field(min_length=1)
    quantity: Annotated[int, Field(ge=1, strict=True)]
    amount: Amount
    currency: Currency = DEFAULT_CURRENCY
    requester: Person | None = None


class TripRequested(Payload):
    """`com.acme.trip.requested.v1`: a trip of `traveller` to `destination`: flight, hotel and car, or nothing."""

    trip_id: Key
    traveller: Person
    destination: str = Field(min_length=1)
    departs_on: str | None = None
    returns_on: str | None = None


class SagaResult(Payload):
    """What `task_processing_saga` returns; `error` is in the words of the service that failed."""

    status: Literal["success", "failed"]
    task_id: str
    error: str | None = None


class CompensationFailed(Payload):
    """`sayso.saga.compensation-failed.v1` on `alerts`: `step` could not be undone; a person settles it, see `sayso saga list`.

    `booking` is what the service had answered to the step, null when that is not known.
    """

    case: str
    workflow: str
    key: Key
    step: str
    undo: str
    error: str
    booking: dict[str, Any] | None
    failed_at: datetime
