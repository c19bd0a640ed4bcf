"""Monitors: the events on `monitors` that start, change, pause, resume and stop them, and what they tell on `alerts`.

Source of names and shapes: docs/seeds.md, section Monitors (000, 003, 004). A field that an event leaves out is the setting's, or
stays as it was.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from sayso.contracts.payload import Key, Payload, Person

YEAR_SECONDS = 31_536_000
WINDOWS_MAX = 20
Interval = Annotated[float, Field(gt=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Target = Annotated[str, Field(min_length=1, max_length=2_000)]


class MaintenanceWindow(Payload):
    """A time in which checks go on and nothing is alerted."""

    starts_at: AwareDatetime
    ends_at: AwareDatetime

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("a maintenance window ends after it starts")
        return self


class _Watching(Payload):
    """What a monitor is told of what it looks at, and how often; the names that do not matter to a kind are without effect."""

    job_id: Key
    target: Target | None = None


class _WatchingHealth(_Watching):
    healthy_interval_seconds: Interval | None = None
    unhealthy_interval_seconds: Interval | None = None
    repeat_after_seconds: Annotated[float, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)] | None = None
    recovery_notice: bool | None = None
    maintenance: Annotated[tuple[MaintenanceWindow, ...], Field(max_length=WINDOWS_MAX)] | None = None


class HealthMonitorStarted(_WatchingHealth):
    """`com.acme.health-monitor.started.v1`: watch the health of a service, `target` or the setting's address for `job_id`."""


class HealthMonitorChanged(_WatchingHealth):
    """`com.acme.health-monitor.changed.v1`: from now on so; what is left out stays. The next check is made at once."""


class StatusMonitorStarted(_WatchingHealth):
    """`com.acme.status-monitor.started.v1`: watch whether a job is healthy, often; `is_healthy` is what was known of it before."""

    is_healthy: bool = True


class StatusMonitorChanged(_WatchingHealth):
    """`com.acme.status-monitor.changed.v1`: from now on so; what is left out stays. The next check is made at once."""


class JobMonitorStarted(_Watching):
    """`com.acme.job-monitor.started.v1`: ask how a job is until it is completed or failed, then tell `requester`."""

    interval_seconds: Interval | None = None
    requester: Person | None = None


class JobMonitorChanged(_Watching):
    """`com.acme.job-monitor.changed.v1`: from now on so; what is left out stays. The next check is made at once."""

    interval_seconds: Interval | None = None


class MonitorPaused(Payload):
    """`com.acme.….paused.v1`: the monitor makes no checks until it is resumed."""

    job_id: Key
    reason: str | None = None


class MonitorResumed(Payload):
    """`com.acme.….resumed.v1`: the monitor goes on, with a check at once."""

    job_id: Key
    reason: str | None = None


class MonitorStopped(Payload):
    """`com.acme.….stopped.v1`: the monitor ends, and its case with it. Started again, it is another case."""

    job_id: Key
    reason: str | None = None


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class MonitorAlerted(Payload):
    """`sayso.monitor.alerted.v1` on `alerts`: what a monitor found at its `check_count`th check, and how often in a row."""

    case: str
    workflow: str
    key: Key
    job_id: str
    severity: Severity
    message: str
    check_count: int
    consecutive_failures: int
    checked_at: datetime
