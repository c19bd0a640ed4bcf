"""Lists: tasks, cases, events, dead letters.

In: filters and a cursor. Out: a page, newest first (tasks: the most urgent), and the cursor of the one after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BeforeValidator, WithJsonSchema

from sayso.contracts.cases import Outcome
from sayso.ledger.queries.cases import PHASES, case_by_id, list_cases, status_filter
from sayso.ledger.queries.dead import STATES, DeadFilter, list_dead
from sayso.ledger.queries.events import list_events
from sayso.ledger.queries.overview import list_tasks
from sayso.ledger.states import EventState
from sayso_gateway.api.desk import Desk
from sayso_gateway.api.shapes import LIST_MAX, Case, Cases, Events, Tasks, problems
from sayso_gateway.api.views import case_of, cursor_of, event_of, number_at, see, task_of, time_and_id_at
from sayso_gateway.problems import ProblemError
from sayso_gateway.who.person import SEES_ALL, Role


def _as_rfc_3339(given: object) -> object:
    """Numbers would be taken as seconds."""
    if isinstance(given, str) and not RFC_3339.fullmatch(given):
        raise ValueError("a time is written as 2026-11-25T17:00:00Z")
    return given


RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
Limit = Annotated[int, Query(ge=1, le=LIST_MAX, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=300, description="`next` of the page before.")]
Word = Annotated[str | None, Query(max_length=500)]
Moment = Annotated[
    AwareDatetime | None, BeforeValidator(_as_rfc_3339), WithJsonSchema({"type": "string", "format": "date-time"}), Query()
]
"""A time with its offset, as RFC 3339 writes it."""
CaseStatus = StrEnum("CaseStatus", {word.upper(): word for word in ("open", *PHASES, *sorted(outcome.value for outcome in Outcome))})  # type: ignore[misc]
DeadState = StrEnum("DeadState", {word.upper(): word for word in STATES})  # type: ignore[misc]


def list_routes(desk: Desk) -> APIRouter:
    """The routes of tasks and cases."""
    router = APIRouter(tags=["lists"])

    @router.get("/tasks", responses=problems(404))
    async def tasks(request: Request, limit: Limit = 50, cursor: Cursor = None) -> Tasks:
        """List what waits for a decision."""
        (await desk.login.person(request)).demand(*SEES_ALL)
        found = await desk.reader.read(partial(list_tasks, limit=limit, after=time_and_id_at(cursor)))
        last = found[-1] if len(found) == limit else None
        return Tasks(tasks=[task_of(each) for each in found], next=cursor_of(_ms(last.due_at), last.case) if last else None)

    @router.get("/cases", responses=problems(404))
    async def cases(
        request: Request,
        status: Annotated[CaseStatus | None, Query(description="`open`, a phase or an outcome.")] = None,
        workflow: Word = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Cases:
        """List cases."""
        (await desk.login.person(request)).demand(*SEES_ALL)
        question = partial(list_cases, condition=status_filter(status), workflow=workflow, limit=limit, after=time_and_id_at(cursor))
        found = await desk.reader.read(question)
        last = found[-1] if len(found) == limit else None
        return Cases(cases=[case_of(each) for each in found], next=cursor_of(_ms(last.opened_at), last.instance_id) if last else None)

    @router.get("/cases/{instance_id}", responses=problems(404))
    async def case(instance_id: str, request: Request) -> Case:
        """Show a case."""
        person = await desk.login.person(request)
        found = await desk.reader.read(partial(case_by_id, instance_id=instance_id))
        if found is None or not see(person, found):
            raise ProblemError(404, "no such case")
        return case_of(found)

    return router


def event_list_routes(desk: Desk) -> APIRouter:
    """The routes of events, for who runs it."""
    router = APIRouter(tags=["lists"])

    @router.get("/events", responses=problems(404))
    async def events(
        request: Request, state: EventState | None = None, topic: Word = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Events:
        """List events of the ledger."""
        (await desk.login.person(request)).demand(Role.OPERATOR, Role.AUDITOR)
        found = await desk.reader.read(partial(list_events, state=state, topic=topic, limit=limit, before=number_at(cursor)))
        return Events(events=[event_of(each) for each in found], next=_next(found, limit))

    @router.get("/deadletters", responses=problems(404))
    async def dead_letters(
        request: Request,
        state: DeadState | None = None,
        type: Word = None,  # noqa: A002 - the parameter's name
        topic: Word = None,
        key: Word = None,
        case: Word = None,
        reason: Word = None,
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Events:
        """List events that could not be used and were not settled."""
        (await desk.login.person(request)).demand(Role.OPERATOR, Role.AUDITOR)
        wanted = DeadFilter(
            states=(state,) if state else (), type=type, topic=topic, key=key, case=case, reason=reason, since=since, until=until
        )
        found = await desk.reader.read(partial(list_dead, wanted=wanted, limit=limit, before=number_at(cursor)))
        return Events(events=[event_of(each) for each in found], next=_next(found, limit))

    return router


def _next(found: Sequence[Any], limit: int) -> str | None:
    return cursor_of(found[-1].number) if len(found) == limit else None


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
