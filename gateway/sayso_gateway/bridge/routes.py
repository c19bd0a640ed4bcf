"""`POST /webhooks/{source}`: verified, made an event, published; 2xx only when the broker has it.

In: a request. Out: 202 with the event's id and topic, or a problem. Order matters: the rate, then the signature over the raw bytes,
and only then is anything parsed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from sayso_gateway.bridge.messages import document_of, event_of
from sayso_gateway.bridge.signatures import Received
from sayso_gateway.bridge.sources import Source
from sayso_gateway.courier import Courier
from sayso_gateway.handshake import handshake
from sayso_gateway.limits import Rates
from sayso_gateway.outgoing import Outgoing
from sayso_gateway.problems import ProblemError, problem

log = structlog.get_logger()
PREFIX = "/webhooks/"


def webhook_routes(sources: Mapping[str, Source], courier: Courier, clock: Callable[[], float] = time.time) -> APIRouter:
    """The routes of the bridge."""
    router = APIRouter(tags=["webhooks"])
    rates = Rates(1)

    @router.post(
        PREFIX + "{source}",
        status_code=202,
        responses={401: {"description": "The signature does not hold."}, 503: {"description": "The broker has it not; send again."}},
    )
    async def take_webhook(source: str, request: Request) -> Response:
        """A webhook of a source in webhooks.yaml."""
        known = _known(sources, source)
        if not rates.take(source, known.a_second):
            return problem(429, f"{source} may send {known.a_second} messages a second", {"Retry-After": "1"})
        names = Counter(request.headers.keys())
        received = Received(dict(request.headers), await request.body(), clock(), {name for name in names if names[name] > 1})
        known.verify(received)
        document = document_of(received)
        if known.scheme == "slack" and document.get("type") == "url_verification":
            return JSONResponse({"challenge": str(document.get("challenge", ""))})
        event = event_of(known, received, document)
        if event is None:
            log.info("ignored: no rule takes it", source=source)
            return JSONResponse({"status": "ignored", "reason": f"no rule of {source} in webhooks.yaml takes it"}, 202)
        await courier.publish(event.topic, event.key, event.body)
        return JSONResponse(accepted(event), 202)

    @router.options(PREFIX + "{source}", status_code=200)
    async def ask_webhook(source: str, request: Request) -> Response:
        """Say whether this origin may send, as CloudEvents' WebHook specification asks."""
        known = _known(sources, source)
        return handshake(request.headers, known.allowed_origins, known.a_second)

    return router


def accepted(event: Outgoing) -> dict[str, Any]:
    """What the sender is told."""
    return {"status": "accepted", "id": event.id, "source": event.source, "type": event.type, "topic": event.topic}


def _known(sources: Mapping[str, Source], name: str) -> Source:
    if name not in sources:
        raise ProblemError(404, "no such source in webhooks.yaml")
    return sources[name]
