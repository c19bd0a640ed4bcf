"""task_chain_workflow: three steps in order, and an error handler when one fails (docs/seeds.md, 003 and 004)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.batches import TaskChainSubmitted
from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso_worker.workflows.chain import ChainFailedError, chain
from sayso_worker.workflows.journal import Failed, Journal, Yields, retry_policy

STEPS = ("step1", "step2", "step3")


def task_chain_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Take `{chain_id, value}` through `step1` (+1), `step2` (doubled) and `step3` (XOR 2): 10 gives `[11, 22, 20]`.

    Waits for no event. Activities: those three and `error_handler`, each retried (setting: first after a minute, twice as long each
    time, at most an hour, ten attempts; a refusal is not retried), and `close_case`. Outcomes: `completed`; `failed`, after
    `error_handler` was given the error, which is then raised again.
    """
    case_input = CaseInput.model_validate(raw)
    submitted = TaskChainSubmitted.model_validate(case_input.request)
    journal = Journal(ctx, case_input)
    assert journal.plan.retries is not None  # the policy of this workflow plans them
    retries = retry_policy(journal.plan.retries)
    arguments = {"chain_id": submitted.chain_id}
    try:
        results = yield from chain(journal, STEPS, submitted.value, retries, arguments)
    except ChainFailedError as error:
        closing = Closing(outcome=Outcome.FAILED, result=error.results, reason=f"{error.step}: {error}")
        handled = yield from journal.attempt("error_handler", {**arguments, "error": str(error)}, retries=retries, closing=closing)
        if isinstance(handled, Failed):
            reason = f"{closing.reason}; the error handler failed too: {handled.error}"
            yield from journal.close(closing.model_copy(update={"reason": reason}))
        raise
    return (yield from journal.close(Closing(outcome=Outcome.COMPLETED, result=results, milestones=list(STEPS))))
