"""Approvals: what Sayso asks (`sayso.approval.requested.v1`) and what is decided (`sayso.approval.decided.v1`).

A decision names its case by `order_id`, `request_id` or `task_id`, or by `workflow` and `key`. docs/seeds.md's three payloads are
understood: `{approved, approver, reason}`, `{approver}` alone (an approval, purchase orders only; no other field but those that
name the case) and `{approved}` alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import StrictBool, StrictInt, model_validator

from sayso.contracts.payload import Key, Payload, Person

BESIDE_AN_APPROVER = frozenset(
    {"order_id", "request_id", "task_id", "workflow", "key", "approved", "approver"}
    | {"stage", "on_behalf_of", "request_hash", "request_version"}
)


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
    abstain: StrictBool | None = None
    """True: neither yes nor no, on a stage that asks several."""
    stage: str | None = None
    """Which one, where several are open."""
    on_behalf_of: Person | None = None
    """Whose seat it fills, where the approver may fill several."""
    request_hash: str | None = None
    """What was decided about; of another one than the case's, it does not count."""
    request_version: StrictInt | None = None

    @model_validator(mode="before")
    @classmethod
    def _an_approver_alone_is_alone(cls, data: Any) -> Any:
        """Without `approved` nothing else may say yes or no: `Approved: false` or `decision: "rejected"` is no approval."""
        if isinstance(data, dict) and data.get("abstain") is True:
            return data
        if isinstance(data, dict) and data.get("approved") is None and data.get("approver") is not None:
            more = sorted(name for name, value in data.items() if value is not None and name not in BESIDE_AN_APPROVER)
            if more:
                words = f"`approved` is missing, and an approver alone is an approval only when it is alone, without {', '.join(more)}"
                raise ValueError(f"{words[:300]}: say `approved`: true or false")
        return data

    @model_validator(mode="after")
    def _says_something(self) -> ApprovalDecided:
        if self.approved is None and self.approver is None:
            raise ValueError("a decision needs `approved` (true or false), `approver`, or both")
        if self.abstain and self.approved is not None:
            raise ValueError("who abstains says neither yes nor no: leave `approved` out")
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
    asked: list[str] = []
    request_hash: str | None = None
    request_version: int | None = None
