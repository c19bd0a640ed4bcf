"""A sender that goes away in the middle of its body: the app behind the limits never hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

from sayso.gateway_settings import GatewaySettings
from sayso_gateway.limits import Limits

SCOPE = {"type": "http", "method": "POST", "path": "/events", "query_string": b"", "headers": [(b"host", b"127.0.0.1:8088")]}


def heard(*messages: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """What the app was called with, and what was answered, for these messages of the server."""
    called: list[str] = []
    sent: list[dict[str, Any]] = []
    coming = iter(messages)

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        called.append(scope["path"])

    async def receive() -> dict[str, Any]:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message)

    limits = Limits(app, GatewaySettings(), "http://127.0.0.1:8088", "/webhooks/")
    asyncio.run(limits({**SCOPE, "client": ("127.0.0.1", 1)}, receive, send))  # type: ignore[arg-type]
    return called, sent


def test_half_a_body_is_no_request() -> None:
    half = {"type": "http.request", "body": b'{"order_id":', "more_body": True}
    assert heard(half, {"type": "http.disconnect"}) == ([], [])


def test_a_whole_one_is() -> None:
    called, _ = heard({"type": "http.request", "body": b"{}", "more_body": False})
    assert called == ["/events"]
