"""The decision gate: one pure function that every decision passes, whichever way it came (ARCHITECTURE, invariant 8).

In: what the case allows, and a raised event. Out: an accepted `Decision`, or a `Refused` with a reason that a person understands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sayso.contracts.payload import person_key
from sayso.contracts.signed import Matter, channel_of, not_about, signed_by
from sayso.contracts.workflow_io import RaisedEvent

ONLY_BY_APPROVER = frozenset({"purchase_order_workflow"})
"""Workflows whose seed (003) takes `{approver}` alone as an approval."""


@dataclass(frozen=True)
class Stage:
    """What the case allows now."""

    workflow: str
    requester: str | None
    deadline: datetime
    accept_raw_raise: bool
    only_members_of: str | None = None
    """The group that is asked, when nobody else may decide."""
    matter: Callable[[], Matter] | None = None
    """What a signed decision has to be about; it is worked out only for one that is signed."""


@dataclass(frozen=True)
class Decision:
    """An accepted decision, ready to be acted on."""

    approved: bool
    approver: str
    reason: str | None
    channel: str


@dataclass(frozen=True)
class Refused:
    """Not accepted: the case stays as it was."""

    reason: str


def decide(stage: Stage, event: RaisedEvent) -> Decision | Refused:
    """Judge one decision. Understands `{approved, approver, reason}`, `{approver}` and `{approved}` (docs/seeds.md)."""
    refusal = admit(stage, event) or about_something_else(stage, event)
    if refusal is not None:
        return refusal
    approved, approver, reason = (event.data.get(name) for name in ("approved", "approver", "reason"))
    if not isinstance(approver, str) or not approver.strip():
        return Refused("it names no approver, and no verified sender stands for one")
    if approved is None and stage.workflow in ONLY_BY_APPROVER:
        approved = True
    if not isinstance(approved, bool):
        return Refused("`approved` must be true or false")
    if stage.requester is not None and same_person(approver, stage.requester):
        return Refused(f"{approver} is the requester; nobody decides on an own request")
    if stage.only_members_of is not None and event.entitled is not True:
        looked = "it was raised past the ledger, where nobody looks up who is" if event.entitled is None else f"{approver} is not"
        return Refused(f"{looked} a member of {stage.only_members_of}, who are asked")
    return Decision(approved, approver.strip(), reason if isinstance(reason, str) else None, channel_of(event))


def about_something_else(stage: Stage, event: RaisedEvent) -> Refused | None:
    """A signature is for one case and one request. What a lost or failed run had used before was looked at then."""
    signed = signed_by(event)
    if signed is None or stage.matter is None or event.again:
        return None
    reason = not_about(signed, stage.matter())
    return Refused(reason) if reason is not None else None


def admit(stage: Stage, event: RaisedEvent) -> Refused | None:
    """What holds for every event that wakes a case: the way that it came, and that it came in time."""
    if event.channel == "dapr-api" and not stage.accept_raw_raise:
        return Refused("it was raised past the ledger, and accept_raw_raise is off")
    if not _storable(event.data):
        return Refused("it contains a NUL character or an unpaired surrogate, which cannot be stored")
    if event.received_at is not None and came_late(stage, event):
        return Refused(f"it arrived at {event.received_at:%Y-%m-%d %H:%M:%S} UTC, after the deadline")
    return None


def came_late(stage: Stage, event: RaisedEvent) -> bool:
    """Whether the ledger had it only after the deadline; of what was raised past the ledger nobody knows that."""
    return event.received_at is not None and event.received_at > stage.deadline


def _storable(data: dict[str, Any]) -> bool:
    """Topics' events have passed this at the door; one raised past the ledger, also one dressed as the ledger's, has not, and would
    fail its step for ever.
    """
    texts = "".join(value for value in data.values() if isinstance(value, str))
    return not UNSTORABLE.search(texts)


UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def same_person(one: str, other: str) -> bool:
    """Two spellings of one id do not make another person."""
    return person_key(one) == person_key(other)
