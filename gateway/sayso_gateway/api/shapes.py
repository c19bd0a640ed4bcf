"""What the API takes and gives, and what its errors look like: the models of the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Reason = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^[^\x00]*$")]
BATCH_MAX = 100
LIST_MAX = 200


class Taken(BaseModel):
    """A body that is sent here; a field that nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestIn(Taken):
    """Something that is asked for. `data` is what the event type says (docs/events.md); its requester is whoever sends it."""

    type: Name = Field("com.acme.request.submitted.v1", description="Event type that starts a case.")
    data: dict[str, Any] = Field(description="The request.")


class ApprovalIn(Taken):
    """A decision, in the words of the seed documents."""

    approved: StrictBool = Field(description="Yes or no.")
    approver: Name | None = Field(None, description="Whoever is logged in; another name is refused.")
    reason: Reason | None = Field(None, description="Why.")


class DecisionIn(Taken):
    """A decision about a task."""

    approved: StrictBool = Field(description="Yes or no.")
    reason: Reason | None = Field(None, description="Why.")


class ListedDecisionIn(DecisionIn):
    """One of several."""

    task: Name = Field(description="Id of the task.")


class DecisionsIn(Taken):
    """Several decisions; each of them counts alone."""

    decisions: list[ListedDecisionIn] = Field(min_length=1, max_length=BATCH_MAX)


class Given(BaseModel):
    """A body that is answered."""


class Problem(Given):
    """RFC 9457: what is wrong."""

    type: str
    title: str
    status: int
    detail: str


class Me(Given):
    """Who is logged in, with which rights, and how that was shown."""

    id: str
    roles: list[str]
    how: str


class RequestAccepted(Given):
    """The broker has the request. `receipt` answers 202 until the ledger has it, `status` until its case has ended."""

    instanceID: str  # noqa: N815 - as Dapr's workflow API says it
    workflow: str
    key: str
    event_id: str
    status: str
    receipt: str


class EventRaised(Given):
    """The topic has the decision (seed 000)."""

    status: str
    instance_id: str


class DecisionAccepted(Given):
    """The broker has the decision; whether it counts is said by its receipt."""

    task: str
    event_id: str
    receipt: str


class DecisionResult(Given):
    """What came of one of several: 202, or what is wrong."""

    task: str
    status: int
    event_id: str | None = None
    receipt: str | None = None
    detail: str | None = None


class DecisionResults(Given):
    """In the order in which they were sent."""

    results: list[DecisionResult]


class EventAccepted(Given):
    """The broker has the event."""

    id: str
    source: str
    type: str
    topic: str
    receipt: str


class EventsAccepted(Given):
    """The broker has the events."""

    accepted: list[EventAccepted]


class Receipt(Given):
    """What became of an event so far."""

    event_id: str
    source: str
    state: str
    reason: str | None = None
    case: str | None = None


class Status(Given):
    """A case, in the shape of Dapr's workflow API."""

    instanceID: str  # noqa: N815
    workflowName: str  # noqa: N815
    createdAt: str  # noqa: N815
    lastUpdatedAt: str  # noqa: N815
    runtimeStatus: str  # noqa: N815
    properties: dict[str, Any]


class Task(Given):
    """What waits for a decision."""

    id: str
    workflow: str
    key: str
    stage: str
    what: str
    assigned_to: str
    requester: str | None
    created_at: datetime
    due_at: datetime


class Case(Given):
    """One business matter."""

    instance_id: str
    workflow: str
    key: str
    status: str
    stage: str | None
    waits_until: datetime | None
    outcome: str | None
    result: Any
    reason: str | None
    milestones: list[str]
    request: dict[str, Any]
    opened_at: datetime
    closed_at: datetime | None


class Event(Given):
    """An event of the ledger."""

    number: int
    topic: str
    source: str | None
    event_id: str | None
    type: str | None
    state: str
    reason: str | None
    workflow: str | None
    key: str | None
    case: str | None
    sightings: int
    received_at: datetime


class Tasks(Given):
    """A page; `next` is the cursor of the one after it."""

    tasks: list[Task]
    next: str | None


class Cases(Given):
    """A page; `next` is the cursor of the one after it."""

    cases: list[Case]
    next: str | None


class Events(Given):
    """A page; `next` is the cursor of the one after it."""

    events: list[Event]
    next: str | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that a route may answer, besides those of every route."""
    return {
        status: {"description": WORDS[status], "content": {"application/problem+json": {"schema": PROBLEM}}}
        for status in sorted({*statuses, *EVERYWHERE})
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """How a body is documented that we read ourselves, for the sake of exact numbers."""
    schema = model.model_json_schema()
    for name, inner in schema.pop("$defs", {}).items():  # one level of models is all that there is
        schema = json.loads(json.dumps(schema).replace(json.dumps({"$ref": f"#/$defs/{name}"}), json.dumps(inner)))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


EVERYWHERE = (400, 401, 403, 413, 421, 422, 429, 431, 503)
PROBLEM = {"$ref": "#/components/schemas/Problem"}
WORDS: Mapping[int, str] = MappingProxyType(
    {
        400: "A header, a parameter or a cursor is wrong.",
        401: "Nobody has shown who sent it.",
        403: "Whoever sent it may not.",
        404: "There is none.",
        409: "It contradicts what is there.",
        413: "The body is too long.",
        415: "The body is of another kind.",
        421: "Not our name.",
        422: "It is understood by nobody.",
        429: "Too many; `Retry-After` says when to come again.",
        431: "The headers are too long.",
        503: "Not now; `Retry-After` says when to come again.",
    }
)
