"""status_monitor_workflow: whether a job is healthy, by the minute (docs/seeds.md, Monitors, 003)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.monitors import StatusMonitorStarted
from sayso.contracts.workflow_io import CaseInput
from sayso_worker.workflows.health_watch import watch_health
from sayso_worker.workflows.journal import Journal, Yields


def status_monitor_workflow(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Watch `{job_id, is_healthy, target}`: every 60 seconds while it is healthy, every 5 while it is not (settings, or the event).

    Waits for: `monitor_changed`, `monitor_paused`, `monitor_resumed`, `monitor_stopped`, until the next check is due. Activities:
    `check_status` (HTTP GET, 5 seconds, 200 is healthy), `send_alert` (a warning, once each time that it becomes unhealthy),
    `note_event` (once an event), `close_case`. Continues as new after each check and each event. Custom status:
    `{is_healthy, check_count, consecutive_failures, paused}`. Outcomes: `completed` when it is stopped; `failed` when it may not look
    at its target.
    """
    case_input = CaseInput.model_validate(raw)
    return (yield from watch_health(case_input, Journal(ctx, case_input), StatusMonitorStarted, "check_status"))
