"""The state machine of an event: the one table of what may become what (ARCHITECTURE, invariant 2).

`received` is where every message begins, at its commit. A state without a way out is final; `FAILED` ones go to the dead letters.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from sayso.errors import SaysoError


class EventState(StrEnum):
    """Where an event stands; its `reason` says why."""

    RECEIVED = "received"  # committed and acknowledged, not looked at yet
    HELD = "held"  # early: waits for its case
    DELIVERING = "delivering"  # belongs to an open case, is being raised
    DELIVERED = "delivered"  # the engine has it, the workflow has not used it yet
    STARTED = "started"  # opened its case
    RECORDED = "recorded"  # kept, as its binding says
    CONSUMED = "consumed"  # a workflow used it
    REFUSED = "refused"  # understood and not allowed
    REJECTED = "rejected"  # malformed or forged
    UNMATCHED = "unmatched"  # no binding takes it
    CONFLICT = "conflict"  # same identity as an earlier event, other content
    LATE = "late"  # its case has ended
    UNCLAIMED = "unclaimed"  # its case ended without using it
    EXPIRED = "expired"  # its case did not come in time
    DEAD = "dead"  # a person gave it up


_S = EventState

TRANSITIONS: Mapping[EventState, frozenset[EventState]] = MappingProxyType(
    {
        _S.RECEIVED: frozenset(
            {
                _S.STARTED,
                _S.RECORDED,
                _S.DELIVERING,
                _S.REFUSED,
                _S.HELD,
                _S.EXPIRED,
                _S.REJECTED,
                _S.UNMATCHED,
                _S.CONFLICT,
                _S.LATE,
            }
        ),
        _S.HELD: frozenset({_S.DELIVERING, _S.REFUSED, _S.EXPIRED}),
        _S.DELIVERING: frozenset({_S.DELIVERED, _S.CONSUMED, _S.REFUSED, _S.UNCLAIMED}),
        _S.DELIVERED: frozenset({_S.DELIVERING, _S.CONSUMED, _S.REFUSED, _S.UNCLAIMED}),
        _S.STARTED: frozenset(),
        _S.RECORDED: frozenset(),
        _S.CONSUMED: frozenset(),
        _S.REFUSED: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.REJECTED: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.UNMATCHED: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.CONFLICT: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.LATE: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.UNCLAIMED: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.EXPIRED: frozenset({_S.DEAD, _S.RECEIVED}),
        _S.DEAD: frozenset(),
    }
)

FAILED = frozenset({_S.REFUSED, _S.REJECTED, _S.UNMATCHED, _S.CONFLICT, _S.LATE, _S.UNCLAIMED, _S.EXPIRED})
"""Published to the dead letters, once, with their reason."""

RESENT = frozenset({_S.UNMATCHED, _S.EXPIRED})
"""A resend of such an event drives it again: since then there may be a binding, or the case. Not once its coming too late was
answered (`sayso.ledger.late`)."""

MATTERS_TO_A_CASE = frozenset({_S.DELIVERING, _S.DELIVERED})
"""Belongs to an open case that has not used it yet."""


class IllegalTransitionError(SaysoError):
    """A bug in Sayso: an event was about to change in a way that the table does not allow."""


def check_transition(before: EventState, after: EventState) -> None:
    """Raise `IllegalTransitionError` unless the table allows it."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(f"an event cannot go from {before} to {after}")
