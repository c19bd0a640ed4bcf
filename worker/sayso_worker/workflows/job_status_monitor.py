"""job_status_monitor: how a job is, until it has ended (docs/seeds.md, Monitors, 004)."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.monitors import JobMonitorStarted
from sayso.contracts.workflow_io import CaseInput, Closing, MonitorPlan, Notice
from sayso_worker.workflows.health_watch import refused, target_of, why_not_watched
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.monitor import EVENTS, MonitorState, check, monitor, wait_for

ENDS = {"completed": Outcome.COMPLETED, "failed": Outcome.FAILED}
NOTICES = {Outcome.COMPLETED: "notify_complete", Outcome.FAILED: "notify_failure"}


def job_status_monitor(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Ask how the job `{job_id, target, requester}` is, every 5 minutes (setting, or the event), until it is `completed` or `failed`.

    Waits for: `monitor_changed`, `monitor_paused`, `monitor_resumed`, `monitor_stopped`, until the next check is due. Activities:
    `check_job_status` (HTTP GET of a JSON object with `status`), `note_event` (once an event), `close_case`. Notices:
    `notify_complete`, `notify_failure`, to the requester, else to the managers. Continues as new after each check and each event.
    Outcomes: `completed` with the job; `failed` with it, or when it may not look at its target; `cancelled` when it is stopped.
    """
    case_input = CaseInput.model_validate(raw)
    journal = Journal(ctx, case_input)
    plan = journal.plan.monitor
    assert plan is not None  # the policy of monitors plans it
    first = JobMonitorStarted.model_validate(case_input.request)
    state = MonitorState.model_validate(journal.carried.own)
    mailbox = Mailbox(journal, EVENTS)
    refusal = why_not_watched(plan, first.job_id, {"target": first.target})
    if refusal is not None:
        return (yield from journal.close(refused(first.job_id, refusal)))
    look = partial(_look, journal, plan, case_input.request, state)
    ending = yield from monitor(journal, mailbox, state, look, partial(why_not_watched, plan, first.job_id))
    if ending is None:
        return None
    if ending.result:
        return (yield from journal.close(ending, notices=[_notice(journal, first, ending)]))
    stopped = {"status": "stopped", "job_id": first.job_id, "check_count": state.check_count}
    return (yield from journal.close(ending.model_copy(update={"outcome": Outcome.CANCELLED, "result": stopped})))


def _look(journal: Journal, plan: MonitorPlan, request: dict[str, Any], state: MonitorState) -> Yields:
    job = JobMonitorStarted.model_validate({**request, **state.changes})
    target = target_of(plan, job.job_id, job.target)
    seen = yield from check(journal, state, "check_job_status", {"target": target, "timeout_seconds": plan.timeout_seconds})
    job = JobMonitorStarted.model_validate({**request, **state.changes})  # the check may have found a later state
    wait_for(journal, state, job.interval_seconds or plan.healthy_interval_seconds)
    journal.ctx.set_custom_status(json.dumps({"status": seen["status"], "check_count": state.check_count, "paused": state.paused}))
    outcome = ENDS.get(seen["status"])
    if outcome is None:
        return None
    result = {"status": seen["status"], "job_id": job.job_id, "check_count": state.check_count}
    return Closing(outcome=outcome, result=result, reason=f"the job is {seen['status']}")


def _notice(journal: Journal, job: JobMonitorStarted, ending: Closing) -> Notice:
    title = f"Job {job.job_id} is {ending.result['status']}"
    recipient = job.requester or journal.plan.approver_group
    return Notice(name=NOTICES[ending.outcome], recipient=recipient, title=title, body=f"{title}.")
