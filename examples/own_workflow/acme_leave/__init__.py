"""Requests for leave: what Sayso is told of them. `config/extensions.yaml` names this module.

One event type, one workflow, its policy. The code of the workflow is in `worker.py`, which only the worker imports.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from sayso.contracts.approvals import ApprovalDecided
from sayso.contracts.catalog import EventType, WorkflowContract
from sayso.contracts.payload import Key, Payload, Person
from sayso.contracts.workflow_io import Plan
from sayso.extensions import Extension
from sayso.policy import WorkflowPolicy
from sayso.settings import Settings

APPROVAL_TIMEOUT = timedelta(days=5)


class LeaveRequested(Payload):
    """`com.acme.leave.requested.v1`: somebody asks for days off; one day needs no approval."""

    leave_id: Key
    employee: Person
    days: Annotated[int, Field(ge=1, le=60, strict=True)]
    first_day: str


def _plan(settings: Settings) -> Plan:
    return Plan(
        approver_group="managers",
        approval_timeout_seconds=APPROVAL_TIMEOUT.total_seconds(),
        accept_raw_raise=settings.accept_raw_raise,
        approvers_only=settings.approvers_only,
    )


EXTENSION = Extension(
    event_types={"com.acme.leave.requested.v1": EventType(LeaveRequested, "leaves", "in")},
    workflows={"leave_request": WorkflowContract(LeaveRequested, {"approval_received": ApprovalDecided}, key_field="leave_id")},
    policies={
        "leave_request": WorkflowPolicy(
            plan=_plan,
            automatic=lambda _plan, request: request["days"] == 1,
            describe=lambda request: f"{request['days']} days off for {request['employee']} from {request['first_day']}",
        )
    },
    worker="acme_leave.worker",
)
