"""Signatures of webhooks: whether a message comes from who has the secret.

In: the raw bytes and headers of a request, the time. Out: nothing, or a `ForgedError` that says what does not hold. Nothing of the
body is parsed here. Several secrets may hold at once (rotation); every comparison takes the same time whatever was sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from standardwebhooks import Webhook

from sayso.errors import RefusedError
from sayso.webhook_sources import HmacOptions

WINDOW_SECONDS = 300
"""How old a message may be, and how far ahead its clock."""
SIGNATURES_MAX = 20
SECONDS = re.compile(r"\d{1,12}", re.ASCII)


class ForgedError(RefusedError):
    """Nobody who has the secret sent this, or not now."""


@dataclass(frozen=True)
class Received:
    """A request as it came: header names in lower case."""

    headers: Mapping[str, str]
    body: bytes
    at: float
    """Seconds since 1970."""
    repeated: Collection[str] = ()
    """Headers that came more than once."""

    def header(self, name: str) -> str:
        """The header, or a `ForgedError`."""
        if name in self.repeated:
            raise ForgedError(f"the header {name} came more than once")
        value = self.headers.get(name, "")
        if not value:
            raise ForgedError(f"the header {name} is missing")
        return value

    def moment(self, text: str) -> str:
        """The time that the sender names, as it wrote it, if it is within the window."""
        if not SECONDS.fullmatch(text):
            raise ForgedError("the time of the signature is no number of seconds since 1970")
        if abs(self.at - int(text)) > WINDOW_SECONDS:
            raise ForgedError(f"the time of the signature is more than {WINDOW_SECONDS} seconds away from ours")
        return text


Verifier = Callable[[Received], None]
"""Raises `ForgedError`."""


def standard_webhooks(secrets: Sequence[str]) -> Verifier:
    """https://www.standardwebhooks.com: `webhook-signature: v1,BASE64 v1,BASE64`."""
    hooks = [Webhook(secret) for secret in secrets]

    def verify(received: Received) -> None:
        event_id = received.header("webhook-id")
        moment = datetime.fromtimestamp(int(received.moment(received.header("webhook-timestamp"))), UTC)
        offered = received.header("webhook-signature").split(" ")
        text = _text(received.body)  # the library signs text
        _demand([hook.sign(event_id, moment, text) for hook in hooks], offered)

    return verify


def stripe(secrets: Sequence[str]) -> Verifier:
    """`Stripe-Signature: t=SECONDS,v1=HEX,v1=HEX`."""

    def verify(received: Received) -> None:
        parts = [part.strip().partition("=") for part in received.header("stripe-signature").split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1:
            raise ForgedError("Stripe-Signature does not name one time (t=)")
        signed = received.moment(times[0]).encode() + b"." + received.body
        _demand([_hex(secret, signed) for secret in secrets], [value for name, _, value in parts if name == "v1"])

    return verify


def github(secrets: Sequence[str]) -> Verifier:
    """`X-Hub-Signature-256: sha256=HEX`, without a time."""

    def verify(received: Received) -> None:
        _demand([f"sha256={_hex(secret, received.body)}" for secret in secrets], [received.header("x-hub-signature-256")])

    return verify


def slack(secrets: Sequence[str]) -> Verifier:
    """`X-Slack-Signature: v0=HEX` over `v0:SECONDS:BODY`."""

    def verify(received: Received) -> None:
        moment = received.moment(received.header("x-slack-request-timestamp"))
        signed = b"v0:" + moment.encode() + b":" + received.body
        _demand([f"v0={_hex(secret, signed)}" for secret in secrets], [received.header("x-slack-signature")])

    return verify


def any_hmac(secrets: Sequence[str], options: HmacOptions) -> Verifier:
    """As webhooks.yaml says."""
    before, _, after = options.signed.partition("{body}")

    def verify(received: Received) -> None:
        moment = received.moment(received.header(options.timestamp_header.lower())) if options.timestamp_header else ""
        signed = before.format(timestamp=moment).encode() + received.body + after.format(timestamp=moment).encode()
        digests = [hmac.digest(secret.encode(), signed, options.algorithm) for secret in secrets]
        written = [digest.hex() if options.encoding == "hex" else base64.b64encode(digest).decode() for digest in digests]
        _demand([options.prefix + text for text in written], [received.header(options.header.lower())])

    return verify


def basic(secrets: Sequence[str]) -> Verifier:
    """`Authorization: Basic …`; a secret is `USER:PASSWORD`."""

    def verify(received: Received) -> None:
        given = _credentials(received, "basic")
        try:
            offered = base64.b64decode(given, validate=True).decode()
        except (binascii.Error, ValueError):
            raise ForgedError("the credentials are not base64") from None
        _demand(secrets, [offered])

    return verify


def bearer(secrets: Sequence[str]) -> Verifier:
    """`Authorization: Bearer TOKEN`."""
    return lambda received: _demand(secrets, [_credentials(received, "bearer")])


SCHEMES: Mapping[str, Callable[[Sequence[str]], Verifier]] = MappingProxyType(
    {
        "standard-webhooks": standard_webhooks,
        "stripe": stripe,
        "github": github,
        "slack": slack,
        "basic": basic,
        "bearer": bearer,
    }
)
"""All but `hmac`, which has options."""


def _demand(expected: Sequence[str], offered: Sequence[str]) -> None:
    """One of the offered is one of the expected. What is malformed among them changes nothing, wherever it stands."""
    marks = [hashlib.sha256(text.encode()).digest() for text in expected]
    for text in offered[:SIGNATURES_MAX]:
        mark = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        if sum(hmac.compare_digest(mark, other) for other in marks):  # all are compared, whatever the first says
            return
    raise ForgedError("the signature does not hold: another secret, another body, or none")


def _hex(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def _credentials(received: Received, kind: str) -> str:
    named, _, given = received.header("authorization").partition(" ")
    if named.lower() != kind or not given:
        raise ForgedError(f"the credentials must be of the kind {kind}")
    return given.strip()


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ForgedError("the body is not UTF-8, so that nobody has signed it as this scheme does") from None
