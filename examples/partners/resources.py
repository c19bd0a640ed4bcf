"""What this service can do: one row of `RESOURCES` for each kind of thing. A new resource is a new row and its body.

In: nothing. Out: the rows. A row with an `undo` gets a second endpoint: POST /orders does, POST /orders/{order_id}/cancel undoes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _decimal_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError('an amount is a decimal string such as "12.50", not a JSON number')  # noqa: TRY004 - for pydantic
    return value


Amount = Annotated[str, BeforeValidator(_decimal_text), StringConstraints(pattern=r"^\d{1,18}(\.\d{1,10})?$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]
WHOLE_MAX = 2**53 - 1
Whole = Annotated[int, Field(strict=True, ge=-WHOLE_MAX, le=WHOLE_MAX)]
"""What every JSON reader keeps exact; a larger number is refused."""


class Body(BaseModel):
    """A body. Further fields are kept with the effect. `case` is the caller's matter: an undo binds only its own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    case: Annotated[str, StringConstraints(max_length=500)] = ""


class Order(Body):
    """POST /orders: place an order."""

    order_id: Name
    product: Name
    quantity: int = Field(ge=1, strict=True)
    amount: Amount
    currency: Currency


class ApprovedAction(Body):
    """POST /actions: execute what was approved."""

    request_id: Name


class ApprovedTask(Body):
    """POST /tasks: assign an approved task."""

    task_id: Name


class Reservation(Body):
    """POST /inventory: reserve goods for an order."""

    order_id: Name
    product: Name
    quantity: int = Field(ge=1, strict=True)


class Charge(Body):
    """POST /payments: charge an order."""

    order_id: Name
    amount: Amount
    currency: Currency


class Capture(Body):
    """POST /captures: a customer has paid, or was `declined`; the payment system tells everyone."""

    order_id: Name
    amount: Amount
    currency: Currency
    workflow: Name | None = None
    declined: Name | None = None


class Shipment(Body):
    """POST /shipments: ship an order."""

    order_id: Name


class Booking(Body):
    """POST /flights, /hotels, /cars: book it for a trip."""

    trip_id: Name


class Assignment(Body):
    """POST /records, /capacity, /notifications, /dashboard: do so for a task and its assignee."""

    task_id: Name
    assignee: Name


class SettledEscalation(Body):
    """POST /escalations: what was decided on an order."""

    request_id: Name


class WorkItem(Body):
    """POST /work-items: one item of a batch was worked on."""

    item_id: Name
    item: Whole
    result: Whole


class BatchTotal(Body):
    """POST /batches: the sum of a batch."""

    batch_id: Name
    total: int = Field(strict=True)


class ChainStep(Body):
    """POST /chain-steps: one step of a chain was taken."""

    step_id: Name
    value: Whole
    result: Whole


class ChainError(Body):
    """POST /chain-errors: a chain failed."""

    chain_id: Name
    error: str


@dataclass(frozen=True)
class Resource:
    """One row: the path, the body, the field that says what the effect is about, the words for done, undo and undone."""

    name: str
    model: type[Body]
    subject: str
    done: str
    undo: str = ""
    undone: str = ""
    announced: bool = False
    """Whether others are told of it."""


RESOURCES = (
    Resource("orders", Order, subject="order_id", done="placed", undo="cancel", undone="cancelled"),
    Resource("actions", ApprovedAction, subject="request_id", done="executed"),
    Resource("tasks", ApprovedTask, subject="task_id", done="assigned"),
    Resource("inventory", Reservation, subject="order_id", done="reserved", undo="release", undone="released"),
    Resource("payments", Charge, subject="order_id", done="charged", undo="refund", undone="refunded"),
    Resource("captures", Capture, subject="order_id", done="captured", announced=True),
    Resource("shipments", Shipment, subject="order_id", done="shipped", undo="cancel", undone="cancelled"),
    Resource("flights", Booking, subject="trip_id", done="booked", undo="cancel", undone="cancelled"),
    Resource("hotels", Booking, subject="trip_id", done="booked", undo="cancel", undone="cancelled"),
    Resource("cars", Booking, subject="trip_id", done="booked", undo="cancel", undone="cancelled"),
    Resource("records", Assignment, subject="task_id", done="created", undo="delete", undone="deleted"),
    Resource("capacity", Assignment, subject="task_id", done="reserved", undo="release", undone="released"),
    Resource("notifications", Assignment, subject="task_id", done="sent", undo="cancel", undone="cancelled"),
    Resource("dashboard", Assignment, subject="task_id", done="updated"),
    Resource("escalations", SettledEscalation, subject="request_id", done="settled"),
    Resource("work-items", WorkItem, subject="item_id", done="worked-on"),
    Resource("batches", BatchTotal, subject="batch_id", done="summed-up"),
    Resource("chain-steps", ChainStep, subject="step_id", done="taken"),
    Resource("chain-errors", ChainError, subject="chain_id", done="reported"),
)
