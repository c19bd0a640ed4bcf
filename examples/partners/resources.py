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


@dataclass(frozen=True)
class Resource:
    """One row: the path, the body, the field that says what the effect is about, the words for done, undo and undone."""

    name: str
    model: type[Body]
    subject: str
    done: str
    undo: str = ""
    undone: str = ""


RESOURCES = (
    Resource("orders", Order, subject="order_id", done="placed", undo="cancel", undone="cancelled"),
    Resource("actions", ApprovedAction, subject="request_id", done="executed"),
    Resource("tasks", ApprovedTask, subject="task_id", done="assigned"),
    Resource("inventory", Reservation, subject="order_id", done="reserved", undo="release", undone="released"),
    Resource("payments", Charge, subject="order_id", done="charged", undo="refund", undone="refunded"),
    Resource("shipments", Shipment, subject="order_id", done="shipped", undo="cancel", undone="cancelled"),
    Resource("flights", Booking, subject="trip_id", done="booked", undo="cancel", undone="cancelled"),
    Resource("hotels", Booking, subject="trip_id", done="booked", undo="cancel", undone="cancelled"),
    Resource("cars", Booking, subject="trip_id", done="booked", undo="cancel", undone="cancelled"),
    Resource("records", Assignment, subject="task_id", done="created", undo="delete", undone="deleted"),
    Resource("capacity", Assignment, subject="task_id", done="reserved", undo="release", undone="released"),
    Resource("notifications", Assignment, subject="task_id", done="sent", undo="cancel", undone="cancelled"),
    Resource("dashboard", Assignment, subject="task_id", done="updated"),
)
