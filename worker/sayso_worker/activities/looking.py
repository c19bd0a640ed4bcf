"""Checks of monitors: what a target answers to one GET. A target that fails is a result, never an error.

In: the step, with `target` and `timeout_seconds`. Out: whether it is healthy and why not, or the status that it tells.
"""

from __future__ import annotations

from typing import Any

from sayso.contracts.workflow_io import StepInput
from sayso.services import PartnerClient
from sayso.targets import Seen

OK = 200
STATUS_CHARACTERS_MAX = 100


def check_health(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """200 is healthy; any other answer is not, nor is none in time."""
    seen = partners.targets.look(step.arguments["target"], step.arguments["timeout_seconds"], step.idempotency_key)
    return {"healthy": seen.status == OK, "why": _why(seen)}


def check_job_status(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """The `status` of the JSON object that it answers, in lower case; None when there is none."""
    seen = partners.targets.look(step.arguments["target"], step.arguments["timeout_seconds"], step.idempotency_key, read=True)
    told = seen.answer.get("status") if seen.status == OK and isinstance(seen.answer, dict) else None
    status = "".join(filter(str.isprintable, told)).lower()[:STATUS_CHARACTERS_MAX] if isinstance(told, str) else None
    return {"status": status, "why": _why(seen)}


def _why(seen: Seen) -> str:
    return seen.error or f"it answered {seen.status}"
