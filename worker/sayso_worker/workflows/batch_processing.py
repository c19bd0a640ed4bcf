"""batch_processing_workflow: fan out over any number of work items, fan in to their sum (docs/seeds.md, 003 and 004).

A history is read whole at every turn, so one of 10,000 items would cost a hundred times what ten of 1,000 do, and would stall. The
work is cut into rounds; each is a run of its own (`continue_as_new`), which knows the rounds before it by their sums.
"""

from __future__ import annotations

import json
import math
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext
from pydantic import BaseModel

from sayso.contracts.batches import BatchSubmitted, OnFailure
from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso.errors import SaysoError
from sayso_worker.workflows.fan_out import NotBegun, fan_out
from sayso_worker.workflows.journal import Failed, Journal, Yields, retry_policy

FAILURES_TOLD_MAX = 20
ROUND_LIMITS_MIN = 5
"""A round ends when its last item has: it is at least so many times as long as it is wide, so that little of the width is idle."""


class BatchFailedError(SaysoError):
    """An item failed, and its batch with it."""


class _Progress(BaseModel):
    """What the rounds before this one did; small, whatever their number."""

    done: int = 0
    failed: int = 0
    sums: list[int] = []
    """One a round."""
    failures: list[dict[str, Any]] = []
    """The first ones."""

    @property
    def begun(self) -> int:
        return self.done + self.failed


def batch_processing_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Work through `{batch_id, count, offset, limit, on_failure}`: every item doubled, and their sum.

    Waits for no event. Activities: `get_work_batch` (once a round), `process_work_item` (once an item; at most `limit` at the same
    time, 5 by default), `process_results`, `close_case`. Continues as new after each round but the last. Custom status:
    `{done, failed, of}`. Outcomes: `completed` with `{status, batch_id, total, processed, failed, failures}`; `failed`, and the
    first error raised again, when an item failed and `on_failure` is not `collect`.
    """
    case_input = CaseInput.model_validate(raw)
    batch = BatchSubmitted.model_validate(case_input.request)
    journal = Journal(ctx, case_input)
    progress = _Progress.model_validate(journal.carried.own)
    if progress.begun < batch.count:
        failed = yield from _round(journal, batch, progress)
        if failed is not None and batch.on_failure is OnFailure.FAIL:
            return (yield from _fail(journal, batch, progress, failed))
        if progress.begun < batch.count:
            journal.continue_as_new(own=progress.model_dump(mode="json"))
            return None
    return (yield from _finish(journal, batch, progress))


def _round(journal: Journal, batch: BatchSubmitted, progress: _Progress) -> Yields:
    """Do the next items and count them; gives the first failure, None when there was none."""
    limit = batch.limit or journal.plan.items_at_once
    first = batch.offset + progress.begun + 1
    count = min(_round_items(journal.plan.round_items, limit), batch.count - progress.begun)
    stage = f"works on items {progress.begun + 1} to {progress.begun + count} of {batch.count}"
    stage += f", {progress.failed} failed" if progress.failed else ""
    arguments = {"batch_id": batch.batch_id, "first": first, "count": count}
    got = yield from journal.step("get_work_batch", arguments, stage=stage)
    assert journal.plan.retries is not None  # the policy of this workflow plans them
    policy = retry_policy(journal.plan.retries)

    def do(item: int) -> Yields:
        done = yield from journal.attempt("process_work_item", {"batch_id": batch.batch_id, "item": item}, retries=policy)
        return done if isinstance(done, Failed) else done["result"]

    def told(result: Any) -> None:
        if isinstance(result, Failed):
            progress.failed += 1
        else:
            progress.done += 1
        _tell(journal, batch, progress)

    results = yield from fan_out(
        got["items"],
        limit,
        do,
        is_fatal=lambda result: isinstance(result, Failed) and batch.on_failure is OnFailure.FAIL,
        told=told,
    )
    progress.sums.append(sum(result for result in results if not isinstance(result, Failed | NotBegun)))
    failures = [(item, result) for item, result in zip(got["items"], results, strict=True) if isinstance(result, Failed)]
    progress.failures += [{"item": item, "error": failed.error} for item, failed in failures]
    del progress.failures[FAILURES_TOLD_MAX:]
    return failures[0][1] if failures else None


def _round_items(least: int, limit: int) -> int:
    """A multiple of the limit: when all items take equally long, the last ones of a round end together."""
    return limit * max(ROUND_LIMITS_MIN, math.ceil(least / limit))


def _finish(journal: Journal, batch: BatchSubmitted, progress: _Progress) -> Yields:
    total = sum(progress.sums)
    result = _result(batch, progress, status="completed", total=total)
    closing = Closing(outcome=Outcome.COMPLETED, result=result, milestones=["processed"])
    arguments = {"batch_id": batch.batch_id, "total": total, "processed": progress.done, "failed": progress.failed}
    done = yield from journal.step("process_results", arguments, closing=closing)
    if "refused" not in done:
        return result
    return (yield from _fail(journal, batch, progress, Failed(done["refused"], unknown=False)))


def _fail(journal: Journal, batch: BatchSubmitted, progress: _Progress, failed: Failed) -> Yields:
    result = _result(batch, progress, status="failed", error=failed.error)
    yield from journal.close(Closing(outcome=Outcome.FAILED, result=result, reason=failed.error))
    raise BatchFailedError(failed.error)


def _result(batch: BatchSubmitted, progress: _Progress, **words: Any) -> dict[str, Any]:
    counts = {"processed": progress.done, "failed": progress.failed, "failures": progress.failures}
    return {"batch_id": batch.batch_id, **words, **counts}


def _tell(journal: Journal, batch: BatchSubmitted, progress: _Progress) -> None:
    journal.ctx.set_custom_status(json.dumps({"done": progress.done, "failed": progress.failed, "of": batch.count}))
