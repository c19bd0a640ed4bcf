"""Deciding: `POST /approve/{instance_id}`, `POST /tasks/{id}/decisions`, `POST /decisions:batch`.

In: yes or no about a case. Out: an event on the topic of decisions, and 2xx when the broker has it; whether it counts is the gate's
to say, at delivery. Invariant: the approver is whoever is logged in; no body can say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from sayso.contracts.catalog import DECISION_EVENTS, WORKFLOWS
from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume
from sayso.errors import MalformedError, SaysoError, TransientError
from sayso.ledger.queries.cases import case_by_id
from sayso.ledger.queries.views import CaseView
from sayso_gateway.api.desk import SOURCE, Desk, body_of, event_id_of
from sayso_gateway.api.requests import IDEMPOTENT
from sayso_gateway.api.shapes import (
    ApprovalIn,
    DecisionAccepted,
    DecisionIn,
    DecisionResult,
    DecisionResults,
    DecisionsIn,
    EventRaised,
    ListedDecisionIn,
    json_body,
    problems,
)
from sayso_gateway.api.signing import Signatory
from sayso_gateway.outgoing import Outgoing, written_event
from sayso_gateway.problems import STATUSES, ProblemError
from sayso_gateway.who.person import Person, Role

DECIDED = "sayso.approval.decided.v1"


@dataclass(frozen=True)
class Said:
    """What somebody has decided."""

    approved: bool
    reason: str | None
    event_id: str


def decision_event(case: CaseView, person: Person, said: Said, *, bindings: Bindings, signatory: Signatory, now: float) -> Outgoing:
    """The event that says it, as the bindings expect it of this workflow, and signed where they want it.

    Every decision of the gateway is made here, and nowhere else.
    """
    data: dict[str, Any] = {WORKFLOWS[case.workflow].key_field: case.key, "workflow": case.workflow, "key": case.key}
    data |= {"approved": said.approved, "approver": person.id} | ({"reason": said.reason} if said.reason else {})
    body = written_event(said.event_id, SOURCE, DECIDED, data, now)
    topics = {
        rule.topic
        for rule in bindings.rules
        if rule.type == DECIDED and rule.workflow == case.workflow and rule.event_name in DECISION_EVENTS
    }
    why = "no binding takes decisions of this workflow"
    for topic in sorted(topics):
        verdict = correlate(bindings, topic, body)
        if isinstance(verdict, Resume) and (verdict.workflow, verdict.key) == (case.workflow, case.key):
            signed = signatory.signed(verdict, case, body, now)
            return Outgoing(topic, case.key, said.event_id, SOURCE, DECIDED, signed)
        why = verdict.reason if isinstance(verdict, Rejected) else f"on {topic} it would not reach the case"
    raise MalformedError(f"{case.workflow} cannot be decided: {why}")


def _extra(model: type[ApprovalIn | DecisionIn | DecisionsIn]) -> dict[str, Any]:
    return {**json_body(model), "parameters": [IDEMPOTENT]}


class Decider:
    """Takes decisions of one desk onto their topic."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def approver(self, request: Request) -> Person:
        """Who decides."""
        person = await self._desk.login.person(request)
        person.demand(Role.APPROVER)
        return person

    async def decide(self, case_id: str, decision: DecisionIn | ApprovalIn, person: Person, event_id: str) -> Outgoing:
        """Return when the broker has it."""
        desk = self._desk
        case = await desk.reader.read(partial(case_by_id, instance_id=case_id))
        if case is None:
            raise ProblemError(404, "no such case")
        if case.phase == "closed":
            raise ProblemError(409, f"the case has ended ({case.outcome})")
        said = Said(decision.approved, decision.reason, event_id)
        event = decision_event(case, person, said, bindings=desk.bindings, signatory=desk.signatory, now=desk.clock())
        await desk.publish(event)
        return event

    async def result_of(self, one: ListedDecisionIn, person: Person, event_id: str) -> DecisionResult:
        """What came of one of several; never raises for what is wrong with it."""
        try:
            await self.decide(one.task, one, person, event_id)
        except TransientError:
            return DecisionResult(task=one.task, status=503, detail="the broker does not take events now; send it again")
        except ProblemError as error:
            return DecisionResult(task=one.task, status=error.status, detail=str(error))
        except SaysoError as error:
            return DecisionResult(task=one.task, status=STATUSES.get(type(error), 422), detail=str(error))
        return DecisionResult(task=one.task, status=202, event_id=event_id, receipt=f"/receipts/{event_id}")


def decision_routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["decisions"])
    decider = Decider(desk)

    @router.post(
        "/approve/{instance_id}", response_model=EventRaised, responses=problems(404, 409, 415), openapi_extra=_extra(ApprovalIn)
    )
    async def approve(instance_id: str, request: Request) -> JSONResponse:
        """Decide a case, as seed 000 calls it."""
        person = await decider.approver(request)
        decision = await body_of(request, ApprovalIn)
        if decision.approver is not None and not person.is_(decision.approver):
            raise ProblemError(403, f"`approver` is not {person.id}, who is logged in")
        event = await decider.decide(instance_id, decision, person, event_id_of(request, person))
        return JSONResponse({"status": "event_raised", "instance_id": instance_id}, headers={"Location": f"/receipts/{event.id}"})

    @router.post(
        "/tasks/{task_id}/decisions",
        status_code=202,
        response_model=DecisionAccepted,
        responses=problems(404, 409, 415),
        openapi_extra=_extra(DecisionIn),
    )
    async def decide_task(task_id: str, request: Request) -> JSONResponse:
        """Decide a task of the list."""
        person = await decider.approver(request)
        decision = await body_of(request, DecisionIn)
        event = await decider.decide(task_id, decision, person, event_id_of(request, person))
        accepted = DecisionAccepted(task=task_id, event_id=event.id, receipt=f"/receipts/{event.id}")
        return JSONResponse(accepted.model_dump(), 202, {"Location": accepted.receipt})

    @router.post("/decisions:batch", response_model=DecisionResults, responses=problems(415), openapi_extra=_extra(DecisionsIn))
    async def decide_several(request: Request) -> JSONResponse:
        """Decide several tasks; each is answered for itself."""
        person = await decider.approver(request)
        decisions = (await body_of(request, DecisionsIn)).decisions
        first = event_id_of(request, person)
        ids = [str(uuid5(NAMESPACE_URL, f"{first}/{number}")) for number in range(len(decisions))]
        results = [await decider.result_of(one, person, event_id) for one, event_id in zip(decisions, ids, strict=True)]
        return JSONResponse(DecisionResults(results=results).model_dump(exclude_none=True))

    return router
