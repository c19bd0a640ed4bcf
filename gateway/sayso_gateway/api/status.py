"""What became of it: `GET /status/{instance_id}` in the shape of Dapr's workflow API, `GET /receipts/{event_id}`.

In: an id. Out: 200 with what the ledger says; 202 for what was accepted and has not come to the ledger yet. Never 404 for what was
accepted: a receipt's id cannot be told from another one, so any that could be one is waited for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from sayso.ledger.queries.cases import case_by_id
from sayso.ledger.queries.events import event_by_identity
from sayso.ledger.queries.views import EventView
from sayso.ledger.states import FAILED
from sayso.workflows import ENDED, NoSuchCaseError, Workflows
from sayso_gateway.api.desk import RETRY_AFTER, SOURCE, Asked, Desk, identity_of
from sayso_gateway.api.shapes import Receipt, Status, problems
from sayso_gateway.api.views import see, see_event
from sayso_gateway.problems import ProblemError

SourceParameter = Annotated[str, Query(min_length=1, max_length=2_000, description="`source` of the event.")]


def status_routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["status"])

    @router.get(
        "/status/{instance_id}",
        response_model=Status,
        responses={202: {"description": "Accepted; the ledger does not have it yet.", "model": Status}, **problems(404)},
    )
    async def status(instance_id: str, request: Request) -> JSONResponse:
        """Say how far a case is; poll until COMPLETED, FAILED or TERMINATED."""
        person = await desk.login.person(request)
        found = await run_in_threadpool(_status, desk, instance_id)
        case = await desk.reader.read(partial(case_by_id, instance_id=instance_id))
        if found is not None and case is not None:
            if not see(person, case):
                raise ProblemError(404, "no such case")
            return JSONResponse(found, 200, {} if found["runtimeStatus"] in ENDED else RETRY_AFTER)
        asked = desk.accepted.get(instance_id)
        if asked is None or not person.is_(asked.person):
            raise ProblemError(404, "no such case")
        event = await desk.reader.read(partial(event_by_identity, identity=identity_of(SOURCE, asked.event_id)))
        refused = event is not None and event.state in FAILED
        return JSONResponse(_pending(instance_id, asked, event, desk.clock()), 200 if refused else 202, {} if refused else RETRY_AFTER)

    @router.get(
        "/receipts/{event_id}",
        response_model=Receipt,
        responses={202: {"description": "The ledger does not have it yet.", "model": Receipt}, **problems(404)},
    )
    async def receipt(event_id: str, request: Request, source: SourceParameter = SOURCE) -> JSONResponse:
        """Say what became of an event that was accepted here."""
        person = await desk.login.person(request)
        event = await desk.reader.read(partial(event_by_identity, identity=identity_of(source, event_id)))
        if event is not None and see_event(person, event):
            return JSONResponse(_receipt(event, event_id, source), 200)
        if event is not None or (source == SOURCE and not _could_be_ours(event_id)):
            raise ProblemError(404, "no such event")
        return JSONResponse(Receipt(event_id=event_id, source=source, state="accepted").model_dump(), 202, RETRY_AFTER)

    return router


def _status(desk: Desk, instance_id: str) -> dict[str, Any] | None:
    try:
        return Workflows(desk.reader.ledger(), desk.settings).status_of(instance_id)
    except NoSuchCaseError:
        return None


def _pending(instance_id: str, asked: Asked, event: EventView | None, now: float) -> dict[str, Any]:
    """The shape of a status before there is a case; FAILED when its event could not be used."""
    at = (event.received_at if event is not None else datetime.fromtimestamp(now, UTC)).isoformat()
    failed = event is not None and event.state in FAILED
    properties = {"dapr.workflow.failure.error_message": f"{event.state}: {event.reason}"} if failed and event is not None else {}
    return {
        "instanceID": instance_id,
        "workflowName": asked.workflow,
        "createdAt": at,
        "lastUpdatedAt": at,
        "runtimeStatus": "FAILED" if failed else "PENDING",
        "properties": properties,
    }


def _receipt(event: EventView, event_id: str, source: str) -> dict[str, Any]:
    told = Receipt(event_id=event_id, source=source, state=event.state, reason=event.reason, case=event.case)
    return told.model_dump()


def _could_be_ours(event_id: str) -> bool:
    try:
        return str(UUID(event_id)) == event_id
    except ValueError:
        return False
