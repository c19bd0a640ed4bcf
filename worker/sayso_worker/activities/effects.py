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
    return partners.call("/orders", {**step.arguments, "case": step.case.instance_id}, step.idempotency_key)


def cancel_order(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Compensation of `place_order`: idempotent, also for an order that was never placed."""
    path = resource_path("orders", step.arguments["order_id"], "cancel")
    return partners.call(path, {**step.arguments, "case": step.case.instance_id}, step.idempotency_key)


def assign_task(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Hand the approved task to its assignee."""
    return partners.call("/tasks", step.arguments, step.idempotency_key)


def settle_escalation(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Tell who asked for the approval of an order what was decided, or that nobody did."""
    return partners.call("/escalations", step.arguments, step.idempotency_key)
