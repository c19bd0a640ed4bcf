"""task_processing_saga: record a task, reserve its assignee, tell them, show it; or none of it (docs/seeds.md, 000)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.sagas import SagaResult, TaskSubmitted
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.saga import Saga, StepFailedError


def task_processing_saga(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Process a task `{task_id, title, assignee, priority}`; asks nobody and waits for no event.

    Activities, with their undos: `create_task_record` (`delete_task_record`), `reserve_assignee_capacity`
    (`release_assignee_capacity`), `notify_assignee` (`send_cancellation_notice`), `update_dashboard`; `close_case`.
    Outcomes: `completed`; `compensated`, `failed` (an undo failed). Result: `{status: success|failed, task_id, error}`.
    """
    case_input = CaseInput.model_validate(raw)
    task = TaskSubmitted.model_validate(case_input.request)
    journal = Journal(ctx, case_input)
    saga = Saga(journal)
    given = task.model_dump(mode="json")
    try:
        yield from saga.step("create_task_record", "delete_task_record", given)
        yield from saga.step("reserve_assignee_capacity", "release_assignee_capacity", given)
        yield from saga.step("notify_assignee", "send_cancellation_notice", given)
        yield from saga.step("update_dashboard", None, given)
    except StepFailedError as failure:
        outcome = yield from saga.undo_all()
        return (yield from _close(journal, outcome, SagaResult(status="failed", task_id=task.task_id, error=str(failure))))
    return (yield from _close(journal, Outcome.COMPLETED, SagaResult(status="success", task_id=task.task_id)))


def _close(journal: Journal, outcome: Outcome, result: SagaResult) -> Yields:
    closing = Closing(outcome=outcome, result=result.model_dump(), reason=result.error, milestones=journal.milestones)
    return (yield from journal.close(closing))
