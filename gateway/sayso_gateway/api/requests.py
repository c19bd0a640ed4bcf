"""Asking for something: `POST /requests`, and what became of it: `GET /requests/{key}`.

In: an event type and its data. Out: 202 with the instance id that the case will have, when the broker has the event; then the case, as
far as it is. The requester is whoever is logged in; only an operator, which is another system, may name somebody else.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import func, select

from sayso.config_file import did_you_mean
from sayso.contracts.catalog import EVENT_TYPES
from sayso.contracts.cloudevent import IncomingEvent, parse_event
from sayso.correlation.bindings import STARTS
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Start, Verdict
from sayso.errors import MalformedError
from sayso.ledger.database import Transaction
from sayso.ledger.identifiers import instance_id
from sayso.ledger.queries.cases import find_cases
from sayso.ledger.queries.events import event_by_identity
from sayso.ledger.queries.views import CaseView, EventView
from sayso.ledger.schema import case_keys
from sayso_gateway.api.desk import RETRY_AFTER, SOURCE, Asked, Desk, body_of, event_id_of, identity_of
from sayso_gateway.api.shapes import Case, RequestAccepted, RequestIn, json_body, problems
from sayso_gateway.api.views import case_of, see
from sayso_gateway.outgoing import Outgoing, written_event
from sayso_gateway.problems import ProblemError
from sayso_gateway.who.person import Person, Role

IDEMPOTENT: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key of the same person is the same event, however often it is sent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
INSTANCE = {"instance_id": "$response.body#/instanceID"}
LINKS: dict[str, Any] = {
    "status": {"operationId": "status", "parameters": INSTANCE},
    "case": {"operationId": "case", "parameters": INSTANCE},
    "decision": {"operationId": "approve", "parameters": INSTANCE},
    "task": {"operationId": "decide_task", "parameters": {"task_id": "$response.body#/instanceID"}},
    "request": {"operationId": "follow", "parameters": {"key": "$response.body#/key"}},
    "receipt": {"operationId": "receipt", "parameters": {"event_id": "$response.body#/event_id"}},
}
"""Where one goes from there."""


def request_routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["requests"])

    @router.post(
        "/requests",
        status_code=202,
        response_model=RequestAccepted,
        responses={202: {"links": LINKS}, **problems(409, 415)},
        openapi_extra={**json_body(RequestIn), "parameters": [IDEMPOTENT]},
    )
    async def ask(request: Request) -> JSONResponse:
        """Ask for something: a case is opened."""
        person = await desk.login.person(request)
        person.demand(Role.REQUESTER, Role.OPERATOR)
        asked = await body_of(request, RequestIn)
        event = _event(desk, asked, person, event_id_of(request, person))
        workflow = _start_of(correlate(desk.bindings, event.topic, event.body)).workflow
        before = await desk.reader.read(partial(_before, workflow=workflow, key=event.key, identity=identity_of(SOURCE, event.id)))
        instance = _expected(desk, workflow, event, before)
        await desk.publish(event)
        desk.remember(instance, Asked(workflow, event.key, event.id, person.id))
        accepted = RequestAccepted(
            instanceID=instance,
            workflow=workflow,
            key=event.key,
            event_id=event.id,
            status=f"/status/{instance}",
            receipt=f"/receipts/{event.id}",
        )
        return JSONResponse(accepted.model_dump(), 202, {"Location": accepted.status, **RETRY_AFTER})

    @router.get(
        "/requests/{key}",
        response_model=Case,
        responses={202: {"description": "Not ended yet.", "model": Case}, **problems(404, 409)},
    )
    async def follow(key: str, request: Request, workflow: Annotated[str | None, Query(max_length=200)] = None) -> JSONResponse:
        """Say what became of a request, by its business key."""
        person = await desk.login.person(request)
        found = await desk.reader.read(partial(find_cases, reference=key, workflow=workflow))
        found = [case for case in found if case.key == key and see(person, case)]
        if not found and _lately(desk, person, key, workflow):
            return JSONResponse({"key": key, "status": "accepted"}, 202, RETRY_AFTER)
        if not found:
            raise ProblemError(404, "no such request")
        if len(found) > 1:
            raise ProblemError(409, f"several workflows know this key; say which: {', '.join(case.workflow for case in found)}")
        (case,) = found
        ended = case.phase == "closed"
        headers = {} if ended else {**RETRY_AFTER, "Location": f"/status/{case.instance_id}"}
        return JSONResponse(case_of(case).model_dump(mode="json"), 200 if ended else 202, headers)

    return router


def _event(desk: Desk, asked: RequestIn, person: Person, event_id: str) -> Outgoing:
    rules = [rule for rule in desk.bindings.rules if rule.type == asked.type and rule.action in STARTS]
    if not rules:
        types = {rule.type for rule in desk.bindings.rules if rule.action in STARTS}
        raise MalformedError(f'`type`: no request is called "{asked.type}"{did_you_mean(asked.type, types)}')
    data = dict(asked.data)
    if "requester" in EVENT_TYPES[asked.type].model.model_fields if asked.type in EVENT_TYPES else "requester" in data:
        given = data.setdefault("requester", person.id)
        if not person.is_(given) and Role.OPERATOR not in person.roles:
            raise ProblemError(403, f"`data.requester` is not {person.id}, who is logged in")
    body = written_event(event_id, SOURCE, asked.type, data, desk.clock())
    verdict = _start_of(correlate(desk.bindings, rules[0].topic, body))
    return Outgoing(rules[0].topic, verdict.key, event_id, SOURCE, asked.type, body)


def _start_of(verdict: Verdict) -> Start:
    if isinstance(verdict, Rejected):
        raise MalformedError(verdict.reason)
    if not isinstance(verdict, Start):
        raise MalformedError("no binding starts a case with it")
    return verdict


class _Before:
    """What the ledger has: this very event, and the latest case of the key."""

    def __init__(self, event: EventView | None, case: CaseView | None, generations: int) -> None:
        self.event, self.case, self.generations = event, case, generations


def _before(tx: Transaction, workflow: str, key: str, identity: str) -> _Before:
    found = [case for case in find_cases(tx, key, workflow) if case.key == key]
    row = tx.one(select(func.max(case_keys.c.generations)).where(case_keys.c.workflow == workflow, case_keys.c.key == key))
    return _Before(event_by_identity(tx, identity), found[0] if found else None, int(row[0] or 0) if row is not None else 0)


def _expected(desk: Desk, workflow: str, event: Outgoing, before: _Before) -> str:
    """The instance id of the case that this event opens, or 409."""
    if before.event is not None:
        if _says(before.event.original) != _says(event.body):
            raise ProblemError(409, "this Idempotency-Key was used for another request")
        if before.event.case is not None:
            return before.event.case
    case = before.case
    start = _start_of(correlate(desk.bindings, event.topic, event.body))
    if case is not None and before.event is None and not (case.phase == "closed" and start.treatment.restarts):
        state = f"has ended ({case.outcome})" if case.phase == "closed" else "is open"
        raise ProblemError(409, f"the case of this key {state}")
    return instance_id(workflow, event.key, before.generations + 1, desk.reader.ledger_id)


def _says(body: bytes) -> str:
    event: IncomingEvent = parse_event(body)
    return event.content_digest


def _lately(desk: Desk, person: Person, key: str, workflow: str | None) -> bool:
    return any(
        one.key == key and one.workflow == (workflow or one.workflow) and person.is_(one.person) for one in desk.accepted.values()
    )
