"""What Sayso says of a case: its outcome on `outcomes`, unused events on `deadletters`, what answers to late ones share."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sayso.contracts.payload import Key, Payload


class Outcome(StrEnum):
    """How a case ended. A rejection or a time-out is an outcome, not an error."""

    AUTO_APPROVED = "auto_approved"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"
    CANCELLED = "cancelled"
    PAYMENT_FAILED = "payment_failed"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    FAILED = "failed"


class CaseClosed(Payload):
    """`sayso.case.closed.v1` on `outcomes`: the case ended; `result` is what the workflow returned, in the seeds' words."""

    case: str
    workflow: str
    key: Key
    generation: int
    outcome: Outcome
    result: Any
    reason: str | None = None
    milestones: list[str] = []
    opened_at: datetime
    closed_at: datetime


class EventDead(Payload):
    """`sayso.event.dead.v1` on `deadletters`: bytes that are no CloudEvent, in `data_base64`; what is one stays as it came.

    Either has the attributes `sayso…` that say what became of it. What is too large is left out, and `data` says so.
    """

    left_out: str | None = None


class AnsweredEvent(Payload):
    """The event that came too late: its identity and type, its state in the ledger and why.

    Source and id are not known of one that the ledger had lost and found again in the engine.
    """

    source: str | None
    id: str | None
    type: str | None
    state: str
    reason: str


class LateAnswer(Payload):
    """The fields that every answer to a late event has besides the late event's own; `case` is empty if it never came."""

    case: str | None = None
    idempotency_key: str
    answers: AnsweredEvent


class AlertRaised(Payload):
    """`sayso.alert.raised.v1` on `alerts`: something that an operator must see; `kind` says what."""

    kind: str
    reason: str
    case: str | None = None
    raised_at: datetime
    detail: dict[str, Any] = {}
