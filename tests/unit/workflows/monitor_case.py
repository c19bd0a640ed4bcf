"""A monitor under virtual time: the real workflow and the real checks, on a target whose answers a test writes down.

What the ledger does with steps is done by a dict: a step is recorded once, and of one that repeats the last is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from sayso.contracts.workflow_io import LAST, RECORDED_AT, CaseInput, CaseRef, Closing, RaisedEvent, StepInput
from sayso.policy import POLICIES
from sayso.services import PartnerClient
from sayso.settings import Settings
from sayso.targets import Seen
from sayso.testing.workflow_run import WorkflowRun
from sayso_worker.registry import STEPS, WORKFLOWS

OPENED_AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
Row = tuple[int, dict[str, Any]]


class Target:
    """Answers one after the other, then the last for ever; `asked` are the addresses."""

    def __init__(self, answers: Iterable[Seen]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def look(self, target: str, _timeout_seconds: float, _key: str, *, read: bool = False) -> Seen:
        del read
        self.asked.append(target)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class MonitorCase:
    """One monitor, begun at once. `kept` is what the ledger has of its steps."""

    def __init__(
        self,
        workflow: str,
        answers: Iterable[Seen],
        settings: Settings | None = None,
        kept: dict[str, list[Row]] | None = None,
        **request: Any,
    ) -> None:
        self.target = Target(answers)
        self.kept = kept if kept is not None else {}
        self._seq = 10
        case = CaseRef(workflow=workflow, key="web", generation=1, instance_id="case-web", opened_at=OPENED_AT)
        asked = {"job_id": "web", "target": "http://127.0.0.1:8000/health"} | request
        case_input = CaseInput(case=case, request=asked, plan=POLICIES[workflow].plan(settings or Settings()))
        activities = {name: self._activity(name) for name in STEPS}
        self.run = WorkflowRun(
            WORKFLOWS[workflow], case_input.model_dump(mode="json"), activities, instance_id=case.instance_id, start=OPENED_AT
        )

    def event(self, name: str, *, seq: int | None = None, again: bool = False, **data: Any) -> tuple[str, dict[str, Any]]:
        """An event as the dispatcher raises it."""
        self._seq = seq or self._seq + 1
        identity = hashlib.sha256(str(self._seq).encode()).hexdigest()
        raised = RaisedEvent(
            seq=self._seq, identity=identity, name=name, received_at=self.run.now, data={"job_id": "web", **data}, again=again
        )
        return name, raised.as_payload()

    def receive(self, name: str, **data: Any) -> int:
        """Raise one; gives its number."""
        self.run.raise_events(self.event(name, **data))
        return self._seq

    def pass_time(self, **span: float) -> None:
        self.run.advance(timedelta(**span))

    @property
    def checks(self) -> int:
        return len(self.target.asked)

    @property
    def steps(self) -> list[StepInput]:
        return [StepInput.model_validate(call.input) for call in self.run.calls]

    @property
    def alerts(self) -> list[tuple[str, int]]:
        """Severity, and at which check."""
        published = [outgoing.data for step in self.steps for outgoing in step.publish]
        return [(data["severity"], data["check_count"]) for data in published]

    @property
    def used(self) -> list[int]:
        return [seq for step in self.steps for seq in step.used]

    @property
    def refusals(self) -> dict[int | None, str]:
        return {refusal.seq: refusal.reason for step in self.steps for refusal in step.refused}

    @property
    def closing(self) -> Closing:
        (closing,) = [step.closing for step in self.steps if step.closing is not None]
        return closing

    @property
    def status(self) -> dict[str, Any]:
        """The custom status."""
        told: dict[str, Any] = json.loads(self.run.custom_status or "{}")
        return told

    def _activity(self, name: str) -> Callable[[Any, Any], dict[str, Any]]:
        def activity(_ctx: object, raw: dict[str, Any]) -> dict[str, Any]:
            step = StepInput.model_validate(raw)
            rows = self.kept.setdefault(name, [])
            found = [
                result for number, result in rows if number == step.iteration or (number > step.iteration and step.repeats is not None)
            ]
            if found:
                return found[-1]
            effect = STEPS[name]
            result = effect(cast("PartnerClient", SimpleNamespace(targets=self.target)), step) if effect else {}
            answer = {**result, RECORDED_AT: self.run.now.isoformat()} if hasattr(self, "run") else dict(result)
            kept = {} if step.repeats is None else {LAST: {"iteration": step.iteration, "own": step.repeats}}
            if step.repeats is not None:
                rows.clear()
            rows.append((step.iteration, {**answer, **kept}))
            return answer

        return activity
