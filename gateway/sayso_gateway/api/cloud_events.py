"""`POST /events`: CloudEvents 1.0 over HTTP, in all three modes: binary, structured, a batch.

In: events of other systems. Out: 202 when the broker has all of them. A decision is not taken this way, because its approver is
whoever is logged in (decisions.py), and never what a body says.
"""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from sayso.config_file import did_you_mean
from sayso.contracts.catalog import DECISION_EVENTS
from sayso.contracts.cloudevent import CONTENT_TYPE, parse_event, read_json
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume, Start
from sayso.errors import MalformedError
from sayso_gateway.api.desk import Desk
from sayso_gateway.api.shapes import BATCH_MAX, EventAccepted, EventsAccepted, problems
from sayso_gateway.handshake import handshake
from sayso_gateway.outgoing import Outgoing, exact_json
from sayso_gateway.problems import ProblemError
from sayso_gateway.who.person import Person, Role

BATCH = "application/cloudevents-batch+json"
PREFIX = "ce-"
NAME = re.compile(r"[a-z0-9]{1,20}", re.ASCII)
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "data": {},
    },
}
BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            CONTENT_TYPE: {"schema": EVENT_SCHEMA},
            BATCH: {"schema": {"type": "array", "items": EVENT_SCHEMA, "maxItems": BATCH_MAX}},
        },
    }
}


def event_routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["events"])

    @router.post("/events", status_code=202, response_model=EventsAccepted, responses=problems(415), openapi_extra=BODIES)
    async def take_events(request: Request) -> JSONResponse:
        """Take events of another system onto their topics."""
        person = await desk.login.person(request)
        person.demand(Role.OPERATOR)
        found = [_outgoing(desk, body, person) for body in await _bodies(request)]
        await asyncio.gather(*(desk.publish(each) for each in found))
        accepted = [
            EventAccepted(
                id=each.id,
                source=each.source,
                type=each.type,
                topic=each.topic,
                receipt=f"/receipts/{quote(each.id, safe='')}?source={quote(each.source, safe='')}",
            )
            for each in found
        ]
        return JSONResponse(EventsAccepted(accepted=accepted).model_dump(), 202)

    @router.options("/events", status_code=200, include_in_schema=False)
    async def ask_events(request: Request) -> Response:
        """Say whether this origin may send. Nobody may without a token, and who has one needs no permission of an origin."""
        return handshake(request.headers, (), desk.settings.gateway.requests_a_second)

    return router


async def _bodies(request: Request) -> list[bytes]:
    """Each event as a structured one."""
    raw = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == CONTENT_TYPE:
        return [raw]
    if kind == BATCH:
        document = read_json(raw)
        if not isinstance(document, list) or not 0 < len(document) <= BATCH_MAX:
            raise MalformedError(f"a batch is a list of 1 to {BATCH_MAX} events")
        return [exact_json(each).encode() for each in document]
    if PREFIX + "specversion" in request.headers:
        return [_of_headers(request, raw, kind)]
    raise ProblemError(415, f"send {CONTENT_TYPE}, {BATCH}, or the attributes as headers (ce-id, ce-source, …)")


def _of_headers(request: Request, raw: bytes, kind: str) -> bytes:
    """Binary mode: attributes are headers, percent-encoded; the body is the data."""
    event: dict[str, Any] = {}
    for header, value in request.headers.items():
        name = header.removeprefix(PREFIX)
        if name != header:
            if not NAME.fullmatch(name) or name in event:
                raise MalformedError(f"the header {header[:50]} is no attribute of CloudEvents, or came twice")
            event[name] = unquote(value)
    if kind:
        event["datacontenttype"] = kind
    if raw and (kind in ("", "application/json") or kind.endswith("+json")):
        event["data"] = read_json(raw)
    elif raw:
        event["data_base64"] = base64.b64encode(raw).decode()
    return exact_json(event).encode()


def _outgoing(desk: Desk, body: bytes, person: Person) -> Outgoing:
    event = parse_event(body)
    topics = sorted({rule.topic for rule in desk.bindings.rules if rule.type == event.type})
    if not topics:
        raise MalformedError(f'no binding takes "{event.type}"{did_you_mean(event.type, {rule.type for rule in desk.bindings.rules})}')
    if len(topics) > 1:
        raise MalformedError(f'"{event.type}" comes on several topics ({", ".join(topics)}); it cannot be sent here')
    if any(rule.type == event.type and rule.event_name in DECISION_EVENTS for rule in desk.bindings.rules):
        raise ProblemError(403, f"a decision is not sent as an event, also not by {person.id}: POST /tasks/ID/decisions")
    verdict = correlate(desk.bindings, topics[0], body)
    if isinstance(verdict, Rejected):
        raise MalformedError(verdict.reason)
    key = verdict.key if isinstance(verdict, Start | Resume) else event.id
    return Outgoing(topics[0], key, event.id, event.source, event.type, body)
