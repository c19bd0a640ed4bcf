"""Order processing, as the .NET and Java tabs of Dapr's patterns page have it (docs/seeds.md, 003), as an extension.

Its names are the document's: `OrderProcessingWorkflow`, `{Name, Quantity, TotalCost}`, `ManagerApproval`, `{Processed}`.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from sayso.contracts.approvals import ApprovalDecided
from sayso.contracts.catalog import EventType, WorkflowContract
from sayso.contracts.money import Amount
from sayso.contracts.payload import Key, Payload
from sayso.contracts.workflow_io import Plan
from sayso.extensions import Extension
from sayso.policy import WorkflowPolicy
from sayso.settings import Settings

WORKFLOW = "OrderProcessingWorkflow"
APPROVAL = "ManagerApproval"
ORDER_APPROVAL_THRESHOLD = Decimal(1000)
APPROVAL_TIMEOUT = timedelta(days=3)


class OrderPayload(Payload):
    """`com.acme.order-processing.requested.v1`. Started through Dapr's own API it needs no id: the instance's own is its key."""

    order_id: Key
    Name: str = Field(min_length=1)
    Quantity: Annotated[int, Field(ge=1, strict=True)]
    TotalCost: Amount


def _plan(settings: Settings) -> Plan:
    return Plan(
        approval_timeout_seconds=APPROVAL_TIMEOUT.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
    )


EXTENSION = Extension(
    event_types={"com.acme.order-processing.requested.v1": EventType(OrderPayload, "processing", "in")},
    workflows={WORKFLOW: WorkflowContract(OrderPayload, {APPROVAL: ApprovalDecided}, key_field="order_id")},
    policies={
        WORKFLOW: WorkflowPolicy(
            plan=_plan,
            automatic=lambda _plan, request: Decimal(str(request["TotalCost"])) <= ORDER_APPROVAL_THRESHOLD,
            describe=lambda request: f"{request['Name']} ({request['Quantity']}) for {request['TotalCost']}",
        )
    },
    worker="order_processing.worker",
)
