"""Effects of batches and chains: the seeds' toy sums, each told to the partner service under its own idempotency key.

In: the step. Out: its `result`. What a real batch does for one item takes the place of `work_on_item`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sayso.contracts.workflow_io import StepInput
from sayso.services import PartnerClient

CHAIN_SUMS: Mapping[str, Callable[[int], int]] = MappingProxyType(
    {"step1": lambda value: value + 1, "step2": lambda value: value * 2, "step3": lambda value: value ^ 2}
)


def number_items(_partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """The next items of a batch: whole numbers, as seed 003 has them. Asks nobody, so that a round costs little."""
    first, count = step.arguments["first"], step.arguments["count"]
    return {"items": list(range(first, first + count))}


def work_on_item(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Double one item."""
    batch_id, item = step.arguments["batch_id"], step.arguments["item"]
    result = item * 2
    body = {"item_id": f"{batch_id}/{item}", "batch_id": batch_id, "item": item, "result": result}
    partners.call("/work-items", body, step.idempotency_key)
    return {"result": result}


def report_total(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """Tell the sum of all results."""
    partners.call("/batches", step.arguments, step.idempotency_key)
    return {"total": step.arguments["total"]}


def take_chain_step(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """One step of a chain: the sum that its name says, of the value that the one before it gave."""
    value = step.arguments["value"]
    result = CHAIN_SUMS[step.step](value)
    body = {**step.arguments, "step_id": f"{step.arguments['chain_id']}/{step.step}", "result": result}
    partners.call("/chain-steps", body, step.idempotency_key)
    return {"result": result}


def report_error(partners: PartnerClient, step: StepInput) -> dict[str, Any]:
    """The error handler of a chain: tells what went wrong."""
    return partners.call("/chain-errors", step.arguments, step.idempotency_key)
