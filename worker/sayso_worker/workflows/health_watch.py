"""Watching health: what the health monitor and the status monitor have in common, and the rules of their alerts.

In: a monitor's case, and what each check saw. Out: alerts on `alerts`, the pause until the next check. Pure.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pydantic import AwareDatetime

from sayso.contracts.cases import Outcome
from sayso.contracts.monitors import HealthMonitorStarted, MonitorAlerted, Severity, StatusMonitorStarted
from sayso.contracts.targets import why_not_allowed
from sayso.contracts.workflow_io import CaseInput, Closing, MonitorPlan, OutgoingEvent
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.monitor import EVENTS, MonitorState, check, monitor, wait_for

Watched = HealthMonitorStarted | StatusMonitorStarted


class HealthState(MonitorState):
    """What is known of the health of a target; `told` since it became unhealthy."""

    is_healthy: bool = True
    consecutive_failures: int = 0
    told: bool = False
    critical_at: AwareDatetime | None = None

    @property
    def stage(self) -> str:
        """For people who look at the case."""
        how = "healthy" if self.is_healthy else f"unhealthy {self.consecutive_failures} times in a row"
        return f"{super().stage}, {how}"


def assess(state: HealthState, watched: Watched, plan: MonitorPlan, *, healthy: bool, at: datetime) -> Severity | None:
    """What one check means: the state after it, and how bad it is if somebody is to be told.

    A warning when it becomes unhealthy; critical from the `critical_after`th failure in a row on, at each check or once in
    `repeat_after_seconds`; if asked for, a notice when it is healthy again. In a maintenance window nobody is told: what is still so
    after it is told then.
    """
    was_told = state.told
    silent = any(window.starts_at <= at < window.ends_at for window in watched.maintenance or ())
    state.is_healthy = healthy
    if healthy:
        state.consecutive_failures, state.told, state.critical_at = 0, False, None
        wanted = plan.recovery_notice if watched.recovery_notice is None else watched.recovery_notice
        return Severity.INFO if was_told and wanted and not silent else None
    state.consecutive_failures += 1
    if silent:
        return None
    state.told = True
    if plan.critical_after == 0 or state.consecutive_failures < plan.critical_after:
        return None if was_told else Severity.WARNING
    repeat = plan.repeat_after_seconds if watched.repeat_after_seconds is None else watched.repeat_after_seconds
    if state.critical_at is not None and at < state.critical_at + timedelta(seconds=repeat):
        return None
    state.critical_at = at
    return Severity.CRITICAL


def watch_health(case_input: CaseInput, journal: Journal, started: type[Watched], activity: str) -> Yields:
    """One run of a health or status monitor. Gives its result when it has ended."""
    plan = journal.plan.monitor
    assert plan is not None  # the policy of monitors plans it
    first = started.model_validate(case_input.request)
    state = HealthState.model_validate(journal.carried.own or _beginning(first))
    mailbox = Mailbox(journal, EVENTS)
    refusal = why_not_watched(plan, first.job_id, {"target": first.target})
    if refusal is not None:
        return (yield from journal.close(refused(first.job_id, refusal)))
    look = partial(_look, journal, plan, started, case_input.request, state, activity)
    ending = yield from monitor(journal, mailbox, state, look, partial(why_not_watched, plan, first.job_id))
    if ending is None:
        return None
    counts = state.model_dump(mode="json", include={"is_healthy", "check_count", "consecutive_failures"})
    return (yield from journal.close(ending.model_copy(update={"result": {"status": "stopped", "job_id": first.job_id, **counts}})))


def target_of(plan: MonitorPlan, job_id: str, target: str | None) -> str:
    """What is looked at: what the event says, or the setting's address for this job."""
    return target or plan.target_template.replace("{job_id}", job_id)


def why_not_watched(plan: MonitorPlan, job_id: str, changes: dict[str, Any]) -> str | None:
    """Whether a monitor may be started or changed so."""
    if "target" not in changes:
        return None
    return why_not_allowed(target_of(plan, job_id, changes["target"]), plan.allowed_targets)


def refused(job_id: str, reason: str) -> Closing:
    """The end of a monitor that may not look at its target."""
    return Closing(outcome=Outcome.FAILED, result={"status": "refused", "job_id": job_id, "reason": reason}, reason=reason)


def _beginning(first: Watched) -> dict[str, Any]:
    """Who says that it is unhealthy has been told so."""
    healthy = not isinstance(first, StatusMonitorStarted) or first.is_healthy
    return {"is_healthy": healthy, "told": not healthy}


def _look(
    journal: Journal, plan: MonitorPlan, started: type[Watched], request: dict[str, Any], state: HealthState, activity: str
) -> Yields:
    watched = started.model_validate({**request, **state.changes})
    target = target_of(plan, watched.job_id, watched.target)
    seen = yield from check(journal, state, activity, {"target": target, "timeout_seconds": plan.timeout_seconds})
    watched = started.model_validate({**request, **state.changes})  # the check may have found a later state
    failures = state.consecutive_failures
    at = journal.recorded_at or journal.now
    severity = assess(state, watched, plan, healthy=seen["healthy"], at=at)
    if severity is not None:
        message = _message(severity, watched.job_id, failures, state, seen["why"])
        yield from _send_alert(journal, state, watched.job_id, severity, message, at)
    interval = watched.healthy_interval_seconds if state.is_healthy else watched.unhealthy_interval_seconds
    wait_for(journal, state, interval or (plan.healthy_interval_seconds if state.is_healthy else plan.unhealthy_interval_seconds))
    shown = state.model_dump(mode="json", include={"is_healthy", "check_count", "consecutive_failures", "paused"})
    journal.ctx.set_custom_status(json.dumps(shown))


def _message(severity: Severity, job_id: str, failures: int, state: HealthState, why: str) -> str:
    if severity is Severity.INFO:
        return f"Job '{job_id}' is healthy again after {failures} failed checks"
    if severity is Severity.WARNING:
        return f"Job '{job_id}' is unhealthy! ({why})"
    return f"Job '{job_id}' is unhealthy for the {state.consecutive_failures}th time in a row ({why})"


def _send_alert(journal: Journal, state: HealthState, job_id: str, severity: Severity, message: str, at: datetime) -> Yields:
    case = journal.case
    alerted = MonitorAlerted(
        case=case.instance_id,
        workflow=case.workflow,
        key=case.key,
        job_id=job_id,
        severity=severity,
        message=message,
        check_count=state.check_count,
        consecutive_failures=state.consecutive_failures,
        checked_at=at,
    )
    outgoing = OutgoingEvent(
        slot=f"alert:{state.check_count}",
        topic="alerts",
        type="sayso.monitor.alerted.v1",
        data=alerted.model_dump(mode="json"),
    )
    yield from journal.step("send_alert", iteration=state.check_count, repeats={}, publish=[outgoing], stage=state.stage)
