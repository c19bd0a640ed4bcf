"""What a signature proves of a decision, as the gate sees it: data, beside what was decided. Pure.

In: an event that the ledger raised. Out: `Signed`, or None for one that nobody signed; and why a signed decision is not about a case.
It travels inside the event's data, where a worker of an earlier version overlooks it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import rfc8785
from pydantic import ValidationError

from sayso.contracts.workflow_io import RaisedEvent, Snapshot

SIGNED = "signed"
"""The field of a raised event's data. No payload of another system has it: contracts leave out what they do not know."""
SAFE_INTEGER = 2**53 - 1
"""The largest whole number that every JSON reader takes for itself."""


class Signed(Snapshot):
    """A verified sender, and what its signature says beside the decision itself."""

    sender: str
    key: str
    """The id of the key that signed."""
    request_hash: str
    """What was decided about (`request_hash`)."""
    instance: str | None = None
    """The case; without it the decision is about the first case of its workflow and key."""
    stage: str | None = None


@dataclass(frozen=True)
class Matter:
    """A case, as far as a signature speaks of it. `request_hash` is that of the request as it is now."""

    instance_id: str
    generation: int
    request_hash: str
    retried: str | None = None
    """The failed case that this one goes on with: what was signed for that one is about this one."""


def signed_by(event: RaisedEvent) -> Signed | None:
    """Who vouches for this event. What was raised past the ledger has no sender, whatever it says of itself."""
    if event.channel != "topic" or SIGNED not in event.data:
        return None
    try:
        return Signed.model_validate(event.data[SIGNED])
    except ValidationError:
        return None


def beside(event: RaisedEvent) -> dict[str, Any]:
    """What of the event's data is not the sender's words but the notary's."""
    return {SIGNED: event.data[SIGNED]} if signed_by(event) is not None else {}


def channel_of(event: RaisedEvent) -> str:
    """The way that it came, in words for the audit log: `topic`, `topic, signed by erp`, `dapr-api`."""
    signed = signed_by(event)
    return f"{event.channel}, signed by {signed.sender}" if signed is not None else event.channel


def not_about(signed: Signed, matter: Matter) -> str | None:
    """Why the signature speaks of something else; None when it is about this case and its request of now."""
    if signed.instance is not None and signed.instance not in (matter.instance_id, matter.retried):
        return f"it was signed for the case {signed.instance}, this is {matter.instance_id}"
    if signed.instance is None and matter.generation > 1 and matter.retried is None:
        return f"it was signed for the first case of its key, this is {matter.instance_id}: sign the case (`case.instance`)"
    if signed.request_hash != matter.request_hash:
        return (
            f"it was signed for another request (hash {signed.request_hash[:12]}…); this case asks about {matter.request_hash[:12]}…: "
            "look at the request as it is now, and sign its `request_hash`"
        )
    return None


def request_hash(request: Mapping[str, Any]) -> str:
    """SHA-256 of the request's RFC 8785 JSON: of the request as the case's workflow has it, and as it is asked for approval."""
    return json_hash(dict(request))


def json_hash(document: Any) -> str:
    """SHA-256 of RFC 8785 JSON, in hex. A number that is no IEEE double is hashed as its text: its neighbours differ."""
    return hashlib.sha256(rfc8785.dumps(_plain(document))).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INTEGER:
        return str(value)
    return _double(value) if isinstance(value, Decimal) else value


def _double(number: Decimal) -> float | str:
    double = float(number)
    return double if Decimal(repr(double)) == number else str(number)
