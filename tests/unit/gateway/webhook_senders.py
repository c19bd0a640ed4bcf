"""Senders of webhooks as they are: the providers' own libraries sign.

In: a secret, a body, a time. Out: the headers that the provider sends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType

import stripe
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

STANDARD_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_STANDARD_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
SECRETS = MappingProxyType(
    {
        "standard-webhooks": (STANDARD_SECRET, OTHER_STANDARD_SECRET),
        "stripe": ("whsec_one", "whsec_two"),
        "github": ("It's a Secret to Everybody", "another secret"),
        "slack": ("8f742231b10e8888abcd99yyyzzz85a5", "8f742231b10e8888abcd99yyyzzz85a6"),
        "hmac": ("shared secret", "another shared secret"),
        "basic": ("shop:pass word", "shop:other"),
        "bearer": ("token-1", "token-2"),
    }
)
"""The one in use, and another one, by scheme."""
Headers = dict[str, str]


def standard_webhooks(secret: str, body: bytes, at: float) -> Headers:
    moment = datetime.fromtimestamp(int(at), UTC)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at)), "webhook-signature": signature}


def stripes(secret: str, body: bytes, at: float) -> Headers:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at))
    return {"stripe-signature": header}


def githubs(secret: str, body: bytes, at: float) -> Headers:
    """As GitHub's documentation says; it has no library that sends."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}


def slacks(secret: str, body: bytes, at: float) -> Headers:
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(int(at)), body=body)
    assert signature is not None
    return {"x-slack-request-timestamp": str(int(at)), "x-slack-signature": signature}


def hmacs(secret: str, body: bytes, at: float) -> Headers:
    signed = f"{int(at)}.".encode() + body
    return {"x-signature": f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}", "x-time": str(int(at))}


def basics(secret: str, body: bytes, at: float) -> Headers:
    return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


def bearers(secret: str, body: bytes, at: float) -> Headers:
    return {"authorization": f"Bearer {secret}"}


SENDERS: MappingProxyType[str, Callable[[str, bytes, float], Headers]] = MappingProxyType(
    {
        "standard-webhooks": standard_webhooks,
        "stripe": stripes,
        "github": githubs,
        "slack": slacks,
        "hmac": hmacs,
        "basic": basics,
        "bearer": bearers,
    }
)
TIMED = ("standard-webhooks", "stripe", "slack", "hmac")
SIGNING = (*TIMED, "github")
