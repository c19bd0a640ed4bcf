"""Approvals: what Sayso asks (`sayso.approval.requested.v1`) and what is decided (`sayso.approval.decided.v1`).

A decision names its case by `order_id`, `request_id` or `task_id`, or by `workflow` and `key`. docs/seeds.md's three payloads are
understood: `{approved, approver, reason}`, `{approver}` alone (an approval, purchase orders only) and `{approved}` alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import StrictBool, model_validator

from sayso.contracts.payload import Key, Payload, Person


class ApprovalDecided(Payload):
    """`sayso.approval.decided.v1` on `approvals`: one decision of one person about one case."""

    order_id: Key | None = None
    request_id: Key | None = None
    task_id: Key | None = None
    workflow: str | None = None
    key: Key | None = None
    approved: StrictBool | None = None
    approver: Person | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ApprovalDecided:
        if self.approved is None and self.approver is None:
            raise ValueError("a decision needs `approved` (true or false), `approver`, or both")
        return self


class ApprovalRequested(Payload):
    """`sayso.approval.requested.v1` on `approval-requests`: a stage waits for a decision until `due_at`."""

    case: str
    workflow: str
    key: Key
    stage: str
    requester: Person | None = None
    due_at: datetime
    request: dict[str, Any]
