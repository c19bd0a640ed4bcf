"""Quotas: how much one source may keep waiting, and how much one case is given.

In: an event that is about to be held, or bound to its case. Out: None, or why not, in words; then an alert is raised, once a case or
once an hour a source. Only the event that is too much suffers: those of other sources and of other names go on. Events are counted
by event name, so that a flood of decisions does not keep a payment from its case.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select

from sayso.ledger.alerts import alert
from sayso.ledger.database import Transaction
from sayso.ledger.schema import events
from sayso.ledger.states import EventState
from sayso.settings import LimitSettings

HOUR_MS = 3_600_000


def source_digest(source: str) -> str:
    """What held events are counted by: sources may be too long for an index."""
    return hashlib.sha256(source.encode()).hexdigest()


def why_not_held(tx: Transaction, source: str, size: int, limits: LimitSettings) -> str | None:
    """Whether one more early event of this source may wait. Two dispatchers at the same moment may let in one too many."""
    digest = source_digest(source)
    found = tx.one(_HELD, {"held_source": digest})
    assert found is not None  # counting always answers
    excess = _excess(found.number, found.size, size, limits.held_events, limits.held_bytes)
    if excess is None:
        return None
    reason = f"{found.number} early events of {source[:100]} wait already ({excess})"
    alert(tx, "too-many-held", occurrence=f"{digest[:16]}:{tx.now_ms // HOUR_MS}", reason=reason)
    return reason


@dataclass
class CaseQuota:
    """What one case has been given under each event name. Made in a transaction that holds the case's lock."""

    tx: Transaction
    instance_id: str
    limits: LimitSettings

    def __post_init__(self) -> None:
        """What it has."""
        self._given: dict[str, tuple[int, int]] = {}

    def why_not(self, event_name: str, payload: str) -> str | None:
        """Whether the case is given one more; if so, it counts."""
        number, size = self._given.get(event_name) or self._look_up(event_name)
        more = len(payload.encode())
        excess = _excess(number, size, more, self.limits.case_events, self.limits.case_bytes)
        if excess is None:
            self._given[event_name] = (number + 1, size + more)
            return None
        reason = f"{self.instance_id} was given {number} events {event_name} already ({excess})"
        alert(self.tx, "case-over-limit", occurrence=f"{self.instance_id}:{event_name}", reason=reason, instance_id=self.instance_id)
        return reason

    def _look_up(self, event_name: str) -> tuple[int, int]:
        found = self.tx.one(_GIVEN, {"instance_id": self.instance_id, "event_name": event_name})
        assert found is not None  # counting always answers
        return found.number, found.size


def _excess(number: int, size: int, more: int, number_max: int, size_max: int) -> str | None:
    if number >= number_max:
        return f"at most {number_max}"
    return f"{size + more} bytes, at most {size_max}" if size + more > size_max else None


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(func.length(column)), 0).label("size")


_HELD = select(func.count().label("number"), _sum(events.c.original)).where(
    events.c.state == EventState.HELD.value, events.c.held_source == bindparam("held_source")
)
_GIVEN = select(func.count().label("number"), _sum(events.c.payload)).where(
    events.c.instance_id == bindparam("instance_id"), events.c.event_name == bindparam("event_name")
)
