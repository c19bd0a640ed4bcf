"""A batch or a chain under virtual time: the real workflow and the real effects, on a partner that writes down what it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sayso.contracts.workflow_io import ANSWERS_TO, CaseInput, CaseRef, Closing, StepInput, call_of
from sayso.errors import EffectFailedError, RefusedError, SaysoError
from sayso.policy import POLICIES
from sayso.services import PartnerClient
from sayso.settings import Settings
from sayso.testing.workflow_run import WorkflowRun
from sayso_worker.registry import STEPS, WORKFLOWS

OPENED_AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
Trouble = Callable[[str, dict[str, Any], int], SaysoError | None]
"""What goes wrong with a call to this path with this body, the so manieth with its key; None: nothing."""


class Partner:
    """Performs a key once; `calls` counts how often each was sent."""

    def __init__(self, trouble: Trouble) -> None:
        self.calls: Counter[str] = Counter()
        self.effects: dict[str, tuple[str, dict[str, Any]]] = {}
        self._trouble = trouble

    def call(self, path: str, body: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
        self.calls[idempotency_key] += 1
        trouble = self._trouble(path, body, self.calls[idempotency_key])
        if trouble is not None:
            raise trouble
        assert self.effects.setdefault(idempotency_key, (path, body)) == (path, body)
        return {"status": "done"}


class BulkRun:
    """One case, begun at once."""

    def __init__(
        self,
        workflow: str,
        request: dict[str, Any],
        settings: Settings | None = None,
        trouble: Trouble = lambda _path, _body, _time: None,
        key: str = "B-1",
    ) -> None:
        self.partner = Partner(trouble)
        case = CaseRef(workflow=workflow, key=key, generation=1, instance_id=f"case-{key}", opened_at=OPENED_AT)
        case_input = CaseInput(case=case, request=request, plan=POLICIES[workflow].plan(settings or Settings()))
        activities = {name: self._activity(name) for name in STEPS}
        given = case_input.model_dump(mode="json")
        self.run = WorkflowRun(WORKFLOWS[workflow], given, activities, instance_id=case.instance_id, start=OPENED_AT)

    @property
    def steps(self) -> list[StepInput]:
        """Every step that was asked for, in order."""
        return [StepInput.model_validate(call.input) for call in self.run.calls]

    @property
    def closing(self) -> Closing:
        """How the case ended."""
        done = [step for step, call in zip(self.steps, self.run.calls, strict=True) if call.answer and "refused" not in call.answer]
        (closing,) = [step.closing for step in done if step.closing is not None]
        return closing

    def _activity(self, name: str) -> Callable[[Any, Any], dict[str, Any]]:
        def activity(_ctx: object, raw: dict[str, Any]) -> dict[str, Any]:
            effect, step = STEPS[name], StepInput.model_validate(raw)
            try:
                result = effect(cast("PartnerClient", self.partner), step) if effect else {}
            except RefusedError as error:
                result = {"refused": str(error)}
            except SaysoError as error:
                raise EffectFailedError(str(error)) from error
            return {**result, ANSWERS_TO: call_of(name, step.iteration)}

        return activity
