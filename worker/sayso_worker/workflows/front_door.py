"""The front door of every workflow: a case that the ledger opened goes straight in, what Dapr's own API started is taken in first.

In: an instance's input. Out: the workflow on its `CaseInput`. What is no `CaseInput` is the request itself, as a JSON object or as
text that holds one (the Dapr CLI encodes twice); the activity `take_case` opens its case, or the instance fails with the reason. A
`CaseInput` of another instance was made up by somebody, and is refused without asking.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext
from pydantic import ValidationError

from sayso.contracts.engine_ids import is_run_of
from sayso.contracts.workflow_io import CaseInput, TakeInput
from sayso.errors import RefusedError
from sayso_worker.workflows.journal import STEP_RETRIES, Yields

Workflow = Callable[[DaprWorkflowContext, Any], Yields]


def with_front_door(name: str, workflow: Workflow) -> Workflow:
    """The workflow, startable both ways."""

    def enter(ctx: DaprWorkflowContext, raw: Any) -> Yields:
        given = _decoded(raw)
        case_input = _case_input(given)
        if case_input is None:
            asked = TakeInput(workflow=name, instance_id=ctx.instance_id, request=given)
            answer = yield ctx.call_activity("take_case", input=asked.model_dump(mode="json"), retry_policy=STEP_RETRIES)
            if "refused" in answer:
                raise RefusedError(answer["refused"])
            given = answer["taken"]
        elif not is_run_of(ctx.instance_id, case_input.case.instance_id):
            raise RefusedError(f"this input belongs to another case: {case_input.case.instance_id}")
        return (yield from workflow(ctx, given))

    enter.__name__ = name
    enter.__doc__ = workflow.__doc__
    return enter


def _decoded(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _case_input(given: Any) -> CaseInput | None:
    try:
        return CaseInput.model_validate(given)
    except ValidationError:
        return None
