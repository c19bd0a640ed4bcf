"""What queries answer with: plain records with aware times and decoded JSON, ready to be shown or written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from sayso.contracts.engine_ids import engine_id
from sayso.ledger.outbox import moment
from sayso.ledger.planning import current_document


@dataclass(frozen=True)
class CaseView:
    """A case. `waits_until` is the end of its present wait, where it is known."""

    instance_id: str
    workflow: str
    key: str
    generation: int
    phase: str
    stage: str | None
    waits_until: datetime | None
    outcome: str | None
    result: Any
    reason: str | None
    milestones: list[str]
    request: dict[str, Any]
    plan: dict[str, Any]
    opened_by: int | None
    opened_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    attempts: int
    last_error: str | None
    finding: str | None
    run: int

    @property
    def engine_id(self) -> str:
        """Its instance in the engine: the case's id, with a number behind it when an earlier instance was beyond help."""
        return engine_id(self.instance_id, self.run)

    @property
    def status(self) -> str:
        """The outcome of an ended case, otherwise its phase."""
        return self.outcome if self.phase == "closed" and self.outcome else self.phase


@dataclass(frozen=True)
class EventView:
    """An event of the ledger. `number` is the ledger's own."""

    number: int
    topic: str
    source: str | None
    event_id: str | None
    type: str | None
    state: str
    reason: str | None
    binding: str | None
    workflow: str | None
    key: str | None
    event_name: str | None
    case: str | None
    answered_by: str | None
    sightings: int
    received_at: datetime
    changed_at: datetime
    last_seen_at: datetime
    due_at: datetime | None
    original: bytes


@dataclass(frozen=True)
class OutgoingView:
    """An event that Sayso publishes."""

    number: int
    event_id: str
    topic: str
    type: str
    case: str | None
    body: bytes
    created_at: datetime
    published_at: datetime | None
    attempts: int
    last_error: str | None


@dataclass(frozen=True)
class AuditView:
    """An entry of the audit log."""

    at: datetime
    actor: str
    channel: str
    action: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class TaskView:
    """An approval task that is open."""

    case: str
    workflow: str
    key: str
    stage: str
    what: str
    assigned_to: str
    requester: str | None
    created_at: datetime
    due_at: datetime


def event_view(row: Row[Any]) -> EventView:
    """A row of `events`."""
    return EventView(
        number=row.seq,
        topic=row.topic,
        source=row.source,
        event_id=row.event_id,
        type=row.type,
        state=row.state,
        reason=row.reason,
        binding=row.binding,
        workflow=row.workflow,
        key=row.key,
        event_name=row.event_name,
        case=row.instance_id,
        answered_by=row.answered_by,
        sightings=row.sightings,
        received_at=moment(row.received_at_ms),
        changed_at=moment(row.updated_at_ms),
        last_seen_at=moment(row.last_seen_at_ms),
        due_at=_moment(row.due_at_ms),
        original=bytes(row.original),
    )


def case_view(row: Row[Any], waits_until_ms: int | None) -> CaseView:
    """A row of `cases`."""
    given = current_document(row)
    return CaseView(
        instance_id=row.instance_id,
        workflow=row.workflow,
        key=row.key,
        generation=row.generation,
        phase=row.phase,
        stage=row.stage,
        waits_until=_moment(waits_until_ms),
        outcome=row.outcome,
        result=json.loads(row.result) if row.result is not None else None,
        reason=row.reason,
        milestones=json.loads(row.milestones) if row.milestones else [],
        request=given.get("request", {}),
        plan=given.get("plan", {}),
        opened_by=row.opened_by,
        opened_at=moment(row.opened_at_ms),
        started_at=_moment(row.started_at_ms),
        closed_at=_moment(row.closed_at_ms),
        attempts=row.attempts,
        last_error=row.last_error,
        finding=row.finding,
        run=row.run,
    )


def outgoing_view(row: Row[Any]) -> OutgoingView:
    """A row of `outbox`."""
    return OutgoingView(
        number=row.seq,
        event_id=row.event_id,
        topic=row.topic,
        type=row.type,
        case=row.instance_id,
        body=bytes(row.body),
        created_at=moment(row.created_at_ms),
        published_at=_moment(row.published_at_ms),
        attempts=row.attempts,
        last_error=row.last_error,
    )


def audit_view(row: Row[Any]) -> AuditView:
    """A row of `audit`."""
    return AuditView(moment(row.at_ms), row.actor, row.channel, row.action, json.loads(row.detail))


def _moment(at_ms: int | None) -> datetime | None:
    return moment(at_ms) if at_ms is not None else None
