"""Changes of mind: what a requester or an approver says about a case that waits, and what reaches its workflow of it.

`ChangeRequested` is the one event that wakes a workflow for all of them. `reassign`, `replan` and `cancel` are operators' acts, which
only the ledger writes; on a topic nobody can say them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, model_validator

from sayso.contracts.payload import Key, Payload, Person


class Change(StrEnum):
    """What is wanted."""

    WITHDRAW = "withdraw"
    AMEND = "amend"
    DELEGATE = "delegate"
    REASSIGN = "reassign"
    REPLAN = "replan"
    CANCEL = "cancel"


NEEDS = {
    Change.WITHDRAW: ("requester",),
    Change.AMEND: ("requester", "changes"),
    Change.DELEGATE: ("by", "to"),
    Change.REASSIGN: ("actor", "to", "reason"),
    Change.REPLAN: ("actor", "reason"),
    Change.CANCEL: ("actor", "reason"),
}

Changes = Annotated[dict[str, Any], Field(min_length=1)]
"""Field of the request: its new value."""


class ChangeRequested(Payload):
    """What a workflow is woken with. Which fields there are depends on `change`."""

    change: Change | None = None
    requester: Person | None = None
    changes: Changes | None = None
    by: Person | None = None
    to: Person | None = None
    holder: Person | None = None
    stage: str | None = None
    until: AwareDatetime | None = None
    actor: Person | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> ChangeRequested:
        if self.change is None:
            raise ValueError(f"`change` says what is wanted: {', '.join(Change)}")
        missing = [name for name in NEEDS[self.change] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"{self.change} also needs {', '.join(missing)}")
        return self


class PurchaseAmended(Payload):
    """`com.acme.purchase.amended.v1`: the requester changes the order while it waits: `changes` are fields and their new values."""

    order_id: Key
    requester: Person
    changes: Changes
    reason: str | None = None


class RequestAmended(Payload):
    """`com.acme.request.amended.v1`: the requester changes the request while it waits: `changes` are fields and their new values."""

    request_id: Key
    requester: Person
    changes: Changes
    reason: str | None = None


class TaskAmended(Payload):
    """`com.acme.task.amended.v1`: the requester changes the task while it waits: `changes` are fields and their new values."""

    task_id: Key
    requester: Person
    changes: Changes
    reason: str | None = None


class RequestWithdrawn(Payload):
    """`com.acme.request.withdrawn.v1`: the requester takes the request back while it waits."""

    request_id: Key
    requester: Person
    reason: str | None = None


class OrderApprovalWithdrawn(Payload):
    """`com.acme.order.approval-withdrawn.v1`: the requester takes back an order that a human was to approve."""

    request_id: Key
    requester: Person
    reason: str | None = None


class TaskWithdrawn(Payload):
    """`com.acme.task.withdrawn.v1`: the requester takes the task back while it waits."""

    task_id: Key
    requester: Person
    reason: str | None = None


class OrderWithdrawn(Payload):
    """`com.acme.order.withdrawn.v1`: the requester takes the order back while it waits for its approval."""

    order_id: Key
    requester: Person
    reason: str | None = None


class ApprovalDelegated(Payload):
    """`sayso.approval.delegated.v1` on `approvals`: `by`, who is asked, lets `to` decide too; `until` then, on one `stage` or all."""

    order_id: Key | None = None
    request_id: Key | None = None
    task_id: Key | None = None
    workflow: str | None = None
    key: Key | None = None
    by: Person
    to: Person
    stage: str | None = None
    until: AwareDatetime | None = None
    reason: str | None = None


class DecisionRefused(Payload):
    """`sayso.decision.refused.v1` on `refusals`: a decision, delegation, amendment or withdrawal did not count, and why."""

    case: str
    workflow: str
    key: Key
    source: str | None = None
    id: str | None = None
    type: str | None = None
    by: str | None = None
    reason: str
    refused_at: datetime
