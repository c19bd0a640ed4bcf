"""Steps: an optional effect, then one ledger transaction. Made once a process, around the ledger and the partner client.

A rerun finds the step recorded and does nothing; between effect and record it repeats the effect under the same idempotency key,
which the service knows. A step of a case that has ended does nothing. What goes wrong with the effect is an `EffectFailedError`, so
that a workflow that tries it a few times only (`Journal.attempt`) can tell it from a ledger that was away for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from dapr.ext.workflow import WorkflowActivityContext

from sayso.contracts.claim import claims_in
from sayso.contracts.workflow_io import ANSWERS_TO, DeadlineInput, StepInput, TakeInput, call_of
from sayso.errors import EffectFailedError, RefusedError, SaysoError
from sayso.ledger import Ledger, taking
from sayso.ledger import steps as ledger_steps
from sayso.ledger.cases import Rules, lock_case_key
from sayso.ledger.claims import with_large_texts
from sayso.ledger.database import Transaction
from sayso.ledger.deciding import amend_request, open_stages
from sayso.ledger.planning import Policies
from sayso.ledger.restoring import ask_for_survey, not_yet
from sayso.services import PartnerClient
from sayso_worker.activities.effects import Effect

Activity = Callable[[WorkflowActivityContext, dict[str, Any]], dict[str, Any]]
Decide = Callable[[Transaction, StepInput, Policies], dict[str, Any]]


def step_activity(name: str, effect: Effect | None, ledger: Ledger, partners: PartnerClient) -> Activity:
    """The activity `name`."""

    def perform(step: StepInput) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if effect is not None:
            earlier = ledger.read(partial(ledger_steps.earlier_result, step=step))
            if earlier is not None:
                return earlier
            whole = _with_whole_arguments(ledger, step)
            try:
                result = effect(partners, whole)
            except RefusedError as error:
                return {"refused": str(error)}
            except SaysoError as error:
                raise EffectFailedError(str(error)) from error
            except Exception as error:
                raise EffectFailedError(f"{type(error).__name__}: {error}") from error
        return ledger.transact(partial(ledger_steps.complete_step, step=step, result=result))

    return _as_activity(name, ledger, perform)


def approval_activity(name: str, decide: Decide, ledger: Ledger, policies: Policies) -> Activity:
    """An activity of an approval, whose result the ledger makes in the transaction that records it."""

    def record(tx: Transaction, step: StepInput) -> dict[str, Any]:
        lock_case_key(tx, step.case.workflow, step.case.key)
        return ledger_steps.complete_step(tx, step, decide(tx, step, policies))

    return _as_activity(name, ledger, lambda step: ledger.transact(partial(record, step=step)))


def _as_activity(name: str, ledger: Ledger, perform: Callable[[StepInput], dict[str, Any]]) -> Activity:
    def activity(_ctx: WorkflowActivityContext, raw: dict[str, Any]) -> dict[str, Any]:
        step = StepInput.model_validate(raw)
        answer = perform(step)
        if answer == ledger_steps.UNKNOWN and ledger.transact(partial(ask_for_survey, instance_id=step.case.instance_id)):
            raise not_yet(step.case.instance_id)  # the engine tries again until the reconciler has rebuilt the case
        return {**answer, ANSWERS_TO: call_of(name, step.iteration)}

    activity.__name__ = name
    return activity


def _with_whole_arguments(ledger: Ledger, step: StepInput) -> StepInput:
    """The workflow has references to large texts; the service that is called gets the texts."""
    if not claims_in(step.arguments):
        return step
    whole = ledger.read(partial(with_large_texts, instance_id=step.case.instance_id, data=step.arguments))
    return step.model_copy(update={"arguments": whole})


def confirm_deadline_activity(ledger: Ledger) -> Activity:
    """The activity `confirm_deadline`."""

    def confirm_deadline(_ctx: WorkflowActivityContext, raw: dict[str, Any]) -> dict[str, Any]:
        answer = ledger.transact(partial(ledger_steps.confirm_deadline, asked=DeadlineInput.model_validate(raw)))
        return {**answer, ANSWERS_TO: "confirm_deadline"}

    return confirm_deadline


def take_case_activity(ledger: Ledger, rules: Rules) -> Activity:
    """The activity `take_case`."""

    def take_case(_ctx: WorkflowActivityContext, raw: dict[str, Any]) -> dict[str, Any]:
        answer = ledger.transact(partial(taking.take_case, asked=TakeInput.model_validate(raw), rules=rules))
        return {**answer, ANSWERS_TO: "take_case"}

    return take_case


def approval_activities(ledger: Ledger, policies: Policies) -> dict[str, Activity]:
    """The activities of approvals, by their names."""
    return {name: approval_activity(name, decide, ledger, policies) for name, decide in APPROVAL_STEPS.items()}


APPROVAL_STEPS: Mapping[str, Decide] = MappingProxyType({"open_stages": open_stages, "amend_request": amend_request})
