"""A case of a workflow, shipped or your own, under virtual time, with activities that only write down what they were asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan
from sayso.contracts.approval_state import ApprovalState
from sayso.contracts.workflow_io import RECORDED_AT, CaseInput, CaseRef, Closing, RaisedEvent, StepInput
from sayso.errors import EffectFailedError
from sayso.gate.changes import amend
from sayso.gate.stages import by_the_clock, opened
from sayso.policy import POLICIES
from sayso.settings import Settings
from sayso.testing.workflow_run import WorkflowRun
from sayso_worker.registry import STEPS, WORKFLOWS
from sayso_worker.steady_executor import SteadyExecutor

OPENED_AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class CaseRun:
    """`refusals` is what services say no to, `failures` what they do not do, however often they are asked, in their words; `pending`
    and `early` are what `confirm_deadline` answers, one after the other, then 0; `recorded_at` is when the ledger says that each step
    was recorded.
    """

    def __init__(
        self,
        workflow: str,
        key: str,
        request: dict[str, Any],
        settings: Settings,
        refusals: Mapping[str, str] | None = None,
        opened_at: datetime = OPENED_AT,
        failures: Mapping[str, str] | None = None,
        approval: ApprovalPlan | None = None,
        replanned: ApprovalPlan | None = None,
        executor: type[SteadyExecutor] = SteadyExecutor,
    ) -> None:
        self._failures = failures or {}
        self.pending: list[int] = []
        self.early: list[timedelta] = []
        self.recorded_at: datetime | None = None
        self.deadlines: list[dict[str, Any]] = []
        self._refusals = refusals or {}
        self._seq = 10
        self.case = CaseRef(workflow=workflow, key=key, generation=1, instance_id=f"case-{key}", opened_at=opened_at)
        plan = POLICIES[workflow].plan(settings).model_copy(update={"approval": approval})
        case_input = CaseInput(case=self.case, request=request, plan=plan)
        self._approval, self._replanned, self._request = approval, replanned, request
        activities: dict[str, Any] = {name: self._step(name) for name in STEPS}
        activities |= {"open_stages": self._open_stages, "amend_request": self._amend_request}
        activities["confirm_deadline"] = self._confirm_deadline
        self.run = WorkflowRun(
            WORKFLOWS[workflow],
            case_input.model_dump(mode="json"),
            activities,
            instance_id=self.case.instance_id,
            start=opened_at,
            executor=executor,
        )

    def event(self, name: str, received_at: datetime | None = None, **data: Any) -> tuple[str, dict[str, Any]]:
        """An event as the dispatcher raises it: the next one of the ledger, received now."""
        self._seq += 1
        identity = hashlib.sha256(str(self._seq).encode()).hexdigest()
        event = RaisedEvent(seq=self._seq, identity=identity, name=name, received_at=received_at or self.run.now, data=data)
        return name, event.model_dump(mode="json")

    def decided(self, received_at: datetime | None = None, **decision: Any) -> tuple[str, dict[str, Any]]:
        return self.event("approval_received", received_at, **decision)

    def paid(self, amount: str = "1200.00", currency: str = "EUR") -> tuple[str, dict[str, Any]]:
        return self.event("payment_received", order_id=self.case.key, amount=amount, currency=currency)

    def receive(self, *events: tuple[str, Any]) -> None:
        self.run.raise_events(*events)

    def approve(self, approver: str = "bob") -> None:
        self.receive(self.decided(approved=True, approver=approver))

    def reject(self, approver: str = "bob", reason: str | None = None) -> None:
        self.receive(self.decided(approved=False, approver=approver, reason=reason))

    def pass_time(self, **span: float) -> None:
        self.run.advance(timedelta(**span))

    @property
    def steps(self) -> list[StepInput]:
        """Every step that was recorded or asked for, in order."""
        return [StepInput.model_validate(call.input) for call in self.run.calls if call.name != "confirm_deadline"]

    def step(self, name: str) -> StepInput:
        """The one step of this name."""
        (found,) = [step for step in self.steps if step.step == name]
        return found

    @property
    def refusals(self) -> dict[int | None, str]:
        """What was recorded as refused: the event's number and why."""
        return {refusal.seq: refusal.reason for step in self.steps for refusal in step.refused}

    @property
    def used(self) -> list[int]:
        return [seq for step in self.steps for seq in step.used]

    @property
    def closing(self) -> Closing:
        """How the case ended; there is exactly one end that was not refused."""
        (closing,) = [
            StepInput.model_validate(call.input).closing
            for call in self.run.calls
            if call.name != "confirm_deadline" and call.input["closing"] is not None and "refused" not in call.answer
        ]
        assert closing is not None
        return closing

    def _step(self, name: str) -> Any:
        def activity(_ctx: object, _step: dict[str, Any]) -> dict[str, Any]:
            if name in self._refusals:
                return {"refused": self._refusals[name]}
            if name in self._failures:
                raise EffectFailedError(self._failures[name])
            return {"done": name} | ({RECORDED_AT: self.recorded_at.isoformat()} if self.recorded_at else {})

        return activity

    def _open_stages(self, _ctx: object, step: dict[str, Any]) -> dict[str, Any]:
        assert self._approval is not None
        state = opened(self._approval, ApprovalState.model_validate(step["approval"]), self.run.now, by_the_clock)
        return {"approval": state.model_dump(mode="json")}

    def _amend_request(self, _ctx: object, step: dict[str, Any]) -> dict[str, Any]:
        """As the ledger does it, with the plan that was handed in for the request as it becomes."""
        assert self._approval is not None
        if self._replanned is None:
            return {"declined": "it changes nothing"}
        changes = step["arguments"]["changes"]
        answer = amend(self._approval, ApprovalState.model_validate(step["approval"]), self._replanned, list(changes))
        assert isinstance(answer, ApprovalState)
        self._approval, self._request = self._replanned, self._request | changes
        state = opened(self._approval, answer, self.run.now, by_the_clock)
        amended = {"request": self._request, "approval": self._approval.model_dump(mode="json")}
        return {"approval": state.model_dump(mode="json"), "amended": amended}

    def _confirm_deadline(self, _ctx: object, asked: dict[str, Any]) -> dict[str, Any]:
        self.deadlines.append(asked)
        early = self.early.pop(0) if self.early else timedelta(0)
        return {"pending": self.pending.pop(0) if self.pending else 0, "early_ms": early // timedelta(milliseconds=1)}
