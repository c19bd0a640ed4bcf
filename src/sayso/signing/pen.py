"""Signing an event: for `sayso decide` and `sayso publish --sign`, and for whoever plays another system.

In: what correlation makes of an event, and the key of a sender. Out: the token for its attribute `signature`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sayso.contracts.catalog import DECISION_EVENTS
from sayso.contracts.cloudevent import parse_event
from sayso.contracts.signed import json_hash
from sayso.correlation.verdict import Record, Resume, Start
from sayso.signing.notary import ATTRIBUTE, decision_of
from sayso.signing.tokens import Key, signed

LIFETIME = timedelta(days=1)


@dataclass(frozen=True)
class About:
    """What is decided about: the request, by its hash, and the case where there is one already."""

    request_hash: str
    instance: str | None = None
    stage: str | None = None


@dataclass(frozen=True)
class Pen:
    """One key that signs for one installation."""

    key: Key
    audience: str
    lifetime: timedelta = LIFETIME

    def sign(self, verdict: Record | Start | Resume, now: datetime, about: About | None = None) -> str:
        """The token for this event; `about` is what a decision is about."""
        return signed(self.key, json.dumps(self.claims(verdict, now, about), separators=(",", ":")).encode())

    def claims(self, verdict: Record | Start | Resume, now: datetime, about: About | None) -> dict[str, Any]:
        """What the token will say."""
        event = verdict.event
        issued = int(now.timestamp())
        said: dict[str, Any] = {
            "iss": self.key.sender,
            "aud": self.audience,
            "jti": event.id,
            "source": event.source,
            "type": event.type,
            "iat": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
        }
        if isinstance(verdict, Start | Resume):
            said["case"] = {"workflow": verdict.workflow, "key": verdict.key}
        if isinstance(verdict, Resume) and verdict.event_name in DECISION_EVENTS and about is not None:
            said["request_hash"] = about.request_hash
            said["decision"] = decision_of(verdict.payload)
            said["case"] |= {"instance": about.instance} if about.instance is not None else {}
            said |= {"stage": about.stage} if about.stage is not None else {}
        else:
            said["data_hash"] = json_hash(event.data)
        return said


def with_signature(body: bytes, token: str) -> bytes:
    """The event with this signature in place of its own; every other byte of it stays, numbers above all."""
    if ATTRIBUTE in parse_event(body).attributes:
        document = json.loads(body)
        return json.dumps(document | {ATTRIBUTE: token}).encode()
    return b'{"%s":"%s",' % (ATTRIBUTE.encode(), token.encode()) + body.lstrip()[1:]
