"""The port to the policies: what a request needs to be approved, and when a wait is over.

In: a request. Out: its plan, or None where no policy is in force; then one stage is asked, as the settings say. `SettingsAlone` is
that everywhere; whoever has policies and calendars hands in another one (`Rules.policies`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row

from sayso.contracts.approval_plan import ApprovalPlan, Wait
from sayso.contracts.signed import request_hash
from sayso.contracts.workflow_io import CaseInput, Plan
from sayso.gate.stages import begun, by_the_clock, opened


class Policies(Protocol):
    """What the ledger asks of them. Both are pure but for the directory, the policies and the calendars as they are now."""

    def plan(self, workflow: str, request: dict[str, Any], now: datetime) -> ApprovalPlan | None:
        """Who has to decide on this request; None: the settings say it. `MalformedError`: no policy has an answer for it."""

    def due_at(self, opened: datetime, wait: Wait) -> datetime:
        """When a wait that began then is over."""


class SettingsAlone:
    """No policies: as before there were any."""

    def plan(self, _workflow: str, _request: dict[str, Any], _now: datetime) -> ApprovalPlan | None:
        """See `Policies`."""
        return None

    def due_at(self, opened: datetime, wait: Wait) -> datetime:
        """See `Policies`."""
        return by_the_clock(opened, wait)


def with_approval(plan: Plan, policies: Policies, workflow: str, request: dict[str, Any], now: datetime) -> Plan:
    """The plan of a case that is opened now, with what the policy answers and its first stages opened."""
    approval = policies.plan(workflow, request, now)
    if approval is None:
        return plan
    begun_now = None if approval.automatic else opened(approval, begun(approval), now, policies.due_at)
    return plan.model_copy(update={"approval": approval, "approval_begun": begun_now})


def about(plan: Plan, request: dict[str, Any]) -> Plan:
    """Decisions are about the request as its case has it, with references in the place of large texts."""
    if plan.approval is None:
        return plan
    return plan.model_copy(update={"approval": plan.approval.model_copy(update={"request_hash": request_hash(request)})})


def begun_anew(given: CaseInput, now: datetime, policies: Policies) -> CaseInput:
    """The input of a case whose first stages are asked once more."""
    approval = given.plan.approval
    if approval is None or approval.automatic:
        return given
    plan = given.plan.model_copy(update={"approval_begun": opened(approval, begun(approval), now, policies.due_at)})
    return given.model_copy(update={"plan": plan})


def current_input(case: Row[Any]) -> CaseInput:
    """A case's input, with its request and plan as they are since the last amendment."""
    if case.amended is None:
        return CaseInput.model_validate_json(case.input)
    return CaseInput.model_validate(current_documents(case)[-1])


def current_document(case: Row[Any]) -> dict[str, Any]:
    """The same as plain JSON."""
    return current_documents(case)[-1]


def current_documents(case: Row[Any]) -> list[dict[str, Any]]:
    """A case's input as plain JSON; behind it, if it was amended, the same as it is since."""
    given: dict[str, Any] = json.loads(case.input)
    if case.amended is None:
        return [given]
    amended = json.loads(case.amended)
    return [given, {**given, "request": amended["request"], "plan": {**given["plan"], "approval": amended["approval"]}}]
