"""What every forger can: write decisions, and sign them with the keys that it has.

In: a company, a random generator, the case that is meant. Out: CloudEvents, honest as long as nothing is changed in them.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import OKPKey

from sayso.contracts.cloudevent import SPEC_VERSION
from sayso.signing.tokens import Key, signed
from sayso.testing.forging.company import DECIDED, HASH, INSTANCE, KEY, NOW, SETTINGS, WORKFLOW, Company

Event = dict[str, Any]
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Case:
    """What the forger wants decided."""

    workflow: str = WORKFLOW
    key: str = KEY
    instance: str = INSTANCE
    request_hash: str = HASH
    audience: str = SETTINGS.audience
    seconds: float = NOW.timestamp()
    """What the clock says."""


@dataclass
class Writer:
    """Its keys are those of the company."""

    company: Company
    rng: random.Random
    case: Case = field(default_factory=Case)

    def honest(self, **said: Any) -> Event:
        """A decision of bob that erp brings, unsigned."""
        data = {"order_id": self.case.key, "approved": True, "approver": "bob", "reason": "within budget"} | said
        return {
            "specversion": SPEC_VERSION,
            "id": f"decision-{self.rng.getrandbits(64):016x}",
            "source": "/erp",
            "type": DECIDED,
            "datacontenttype": "application/json",
            "data": data,
        }

    def claims(self, event: Event, sender: str = "erp") -> dict[str, Any]:
        """What an honest signature of this event says."""
        issued = int(self.case.seconds)
        decided = {name: value for name, value in event["data"].items() if name in ("approved", "approver", "reason")}
        return {
            "iss": sender,
            "aud": self.case.audience,
            "jti": event["id"],
            "source": event["source"],
            "type": event["type"],
            "iat": issued,
            "exp": issued + 3600,
            "case": {"workflow": self.case.workflow, "key": self.case.key, "instance": self.case.instance},
            "request_hash": self.case.request_hash,
            "decision": decided,
        }

    def signed(self, event: Event, key: Key | None = None, **changed: Any) -> Event:
        """The event with an honest signature of this key over it, but for what is `changed` in the claims; None takes a claim away."""
        key = key or self.company.erp
        said = {name: value for name, value in (self.claims(event, key.sender) | changed).items() if value is not None}
        return event | {"signature": signed(key, json.dumps(said).encode())}

    def token(self, header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
        return self.raw_token(json.dumps(header).encode(), json.dumps(claims).encode(), sign)

    @staticmethod
    def raw_token(header: bytes, claims: bytes, sign: Callable[[bytes], bytes]) -> str:
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
        return (text + b"." + base64.urlsafe_b64encode(sign(text)).rstrip(b"=")).decode()

    @staticmethod
    def by(key: Key) -> Callable[[bytes], bytes]:
        assert isinstance(key.material, OKPKey)
        private = key.material.get_op_key("sign")
        return lambda text: bytes(private.sign(text))  # type: ignore[union-attr]
