"""Effects: what activities ask of the partner service. One function an activity; the idempotency key goes with it.

In: the step. Out: the service's answer. `RefusedError` when the service says no for good, `TransientError` when it may say
yes later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sayso.contracts.workflow_io import StepInput
from sayso.services import PartnerClient, resource_path

Effect = Callable[[PartnerClient, StepInput], dict[str, Any]]


def execute_approved_action(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Do what was approved."""
    return partners.call("/actions", step.arguments, step.idempotency_key)


def place_order(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Place the approved order; `case` ties it to its own cancellation, not to one of an earlier case of the same order."""
    return partners.call("/orders", {**step.arguments, "case": step.case.matter}, step.idempotency_key)


def cancel_order(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Compensation of `place_order`: idempotent, also for an order that was never placed."""
    path = resource_path("orders", step.arguments["order_id"], "cancel")
    return partners.call(path, {**step.arguments, "case": step.case.matter}, step.idempotency_key)


def assign_task(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Hand the approved task to its assignee."""
    return partners.call("/tasks", step.arguments, step.idempotency_key)


def doing(resource: str) -> Effect:
    """A step of a saga: the request itself, in the case as its matter, so that an undo binds this case alone."""

    def do(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
        return partners.call(f"/{resource}", {**step.arguments, "case": step.case.instance_id}, step.idempotency_key)

    return do


def undoing(resource: str, subject: str, undo: str) -> Effect:
    """Its undo, with the booking; idempotent, also for what was never done. A payment from outside belongs to no case."""

    def take_back(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
        is_from_outside = (step.arguments.get("booking") or {}).get("captured", False)
        body = {**step.arguments, "case": "" if is_from_outside else step.case.instance_id}
        return partners.call(resource_path(resource, step.arguments[subject], undo), body, step.idempotency_key)

    return take_back


def settle_escalation(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Tell who asked for the approval of an order what was decided, or that nobody did."""
    return partners.call("/escalations", step.arguments, step.idempotency_key)
