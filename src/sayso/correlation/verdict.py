"""What correlation says of one event: pure data that passes from the router to the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sayso.contracts.cloudevent import IncomingEvent
from sayso.correlation.treatment import Treatment


@dataclass(frozen=True)
class Rejected:
    """Malformed: nobody can use it. Its identity is not claimed, so that a sender can send it again, mended."""

    reason: str
    event: IncomingEvent | None = None
    binding: str | None = None


@dataclass(frozen=True)
class Unmatched:
    """Well-formed, but no binding takes it."""

    reason: str
    event: IncomingEvent


@dataclass(frozen=True)
class Record:
    """Only to be kept."""

    binding: str
    event: IncomingEvent
    treatment: Treatment = field(default_factory=Treatment)


@dataclass(frozen=True)
class Start:
    """Opens the case (workflow, key); `request` is the workflow's validated request, JSON-ready."""

    binding: str
    event: IncomingEvent
    workflow: str
    key: str
    request: dict[str, Any]
    treatment: Treatment = field(default_factory=Treatment)


@dataclass(frozen=True)
class Resume:
    """Wakes the open case (workflow, key) as `event_name`; `payload` is validated and JSON-ready.

    `request` is what opens the case when there is none, if the binding lets this event do so (`start_or_resume`).
    """

    binding: str
    event: IncomingEvent
    workflow: str
    key: str
    event_name: str
    payload: dict[str, Any] = field(default_factory=dict)
    treatment: Treatment = field(default_factory=Treatment)
    request: dict[str, Any] | None = None


Verdict = Rejected | Unmatched | Record | Start | Resume
