"""Limits, before anything of a request is understood: host, headers, length, rate. And the headers that every answer carries.

In: an ASGI app. Out: the same app, which never sees what is refused here. Invariant: memory that one request can take is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sayso.gateway_settings import GatewaySettings
from sayso_gateway.problems import problem

HEADERS_MAX = 100
QUERY_BYTES_MAX = 8_192
BODY_SECONDS = 20.0
ADDRESSES_MAX = 10_000
"""Whose rate is known: the ones that were seen last."""
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
HEALTH = "/health"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000")
SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"stripe-signature",
        b"webhook-id",
        b"webhook-signature",
        b"webhook-timestamp",
        b"x-github-delivery",
        b"x-hub-signature-256",
        b"x-slack-request-timestamp",
        b"x-slack-signature",
    }
)
"""Sent twice, nobody can say which counts."""


class SenderGoneError(Exception):
    """Half a request is none: an event of what has come would take the id from the whole one, which is sent again."""


@dataclass
class Bucket:
    """Tokens that come back steadily: at most two seconds' worth."""

    a_second: float
    clock: Callable[[], float] = time.monotonic
    tokens: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, self.at = 2 * self.a_second, self.clock()

    def take(self) -> bool:
        """One token, if there is one."""
        now = self.clock()
        self.tokens = min(2 * self.a_second, self.tokens + (now - self.at) * self.a_second)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Rates:
    """A bucket for each name; those that were used last are kept."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, name: str, a_second: float | None = None) -> bool:
        """One token of this name's bucket."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(a_second or self._a_second)
        self._buckets.move_to_end(name)
        while len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        return bucket.take()


class Limits:
    """The middleware."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, origin: str, unlimited_prefix: str) -> None:
        self._app = app
        self._settings = settings
        self._hosts = _hosts(settings, origin)
        self._rates = Rates(settings.requests_a_second)
        self._unlimited_prefix = unlimited_prefix
        self._headers = [*SECURITY_HEADERS, *([TRANSPORT_SECURITY] if origin.startswith("https:") else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `Limits`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answering = self._with_headers(send)
        refused = self._refusal(scope)
        if refused is not None:
            await problem(*refused)(scope, receive, answering)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive, self._settings.body_bytes_max)
        except TimeoutError:
            await problem(408, f"the body did not come within {BODY_SECONDS:g} seconds")(scope, receive, answering)
            return
        except SenderGoneError:
            return
        if body is None:
            await problem(413, f"a body may have {self._settings.body_bytes_max} bytes")(scope, receive, answering)
            return
        await self._app(scope, _once(body, receive), answering)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        return self._too_long(scope, headers) or self._wrong(scope, headers) or self._too_often(scope)

    def _too_long(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        if len(scope["query_string"]) > QUERY_BYTES_MAX:
            return 400, f"the query may have {QUERY_BYTES_MAX} bytes"
        size = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > HEADERS_MAX or size > self._settings.header_bytes_max:
            return 431, f"at most {HEADERS_MAX} headers with {self._settings.header_bytes_max} bytes"
        length = dict(headers).get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12 or int(length) > self._settings.body_bytes_max:
            return 413, f"a body may have {self._settings.body_bytes_max} bytes"
        return None

    def _wrong(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        names = [name for name, _ in headers if name in SINGLE]
        asked = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
        if len(asked) != len(set(asked)):
            return 400, "a parameter of the query came more than once"
        if len(names) != len(set(names)):
            repeated = next(name for name in names if names.count(name) > 1)
            return 400, f"the header {repeated.decode('latin-1')} came more than once"
        if dict(headers).get(b"host", b"").decode("latin-1").lower() not in self._hosts and scope["path"] != HEALTH:
            return 421, "this server does not answer under that name (settings gateway.public_origin, gateway.other_hosts)"
        return None

    def _too_often(self, scope: Scope) -> tuple[int, str] | None:
        client = scope["client"][0] if scope["client"] else ""
        if scope["path"].startswith(self._unlimited_prefix) or scope["path"] == HEALTH or self._rates.take(client):
            return None
        return 429, f"more than {self._settings.requests_a_second} requests a second"

    def _with_headers(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message.get("headers", ())}
                message["headers"] = [*message.get("headers", ()), *(pair for pair in self._headers if pair[0] not in known)]
            await send(message)

        return answer


def _hosts(settings: GatewaySettings, origin: str) -> frozenset[str]:
    """The names that a request may call us by; a page that had its own name point here is refused."""
    names = {urlsplit(origin).netloc.lower(), *(name.lower() for name in settings.other_hosts)}
    if settings.address in LOOPBACK_NAMES or settings.address == "::1":
        names |= {f"{name}:{settings.port}" for name in LOOPBACK_NAMES}
    return frozenset(names)


async def _body(receive: Receive, bytes_max: int) -> bytes | None:
    """The whole body; None when it is too long; `SenderGoneError` when its rest will not come."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            return None
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """The body that was read, given again; then whatever comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
