"""Settings of the three monitors: where they may look, and how often."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from sayso.settings_section import LONGEST, Section


class MonitorSettings(Section):
    """Every monitor: where it may look."""

    allowed_targets: tuple[str, ...] = Field(
        ("http://127.0.0.1", "http://localhost"),
        description="What a monitor may look at: `scheme://host`, with a port only that one, with a path only what is below it.",
    )
    timeout: timedelta = Field(
        timedelta(seconds=5), gt=timedelta(0), le=timedelta(minutes=2), description="How long a check may take in all."
    )


class HealthMonitorSettings(Section):
    """`health_monitor_workflow`."""

    target_template: str = Field("http://{job_id}:8000/health", description="What it looks at, unless its event says so.")
    healthy_interval: timedelta = Field(
        timedelta(minutes=60), gt=timedelta(0), le=LONGEST, description="Pause between two checks while all is well."
    )
    unhealthy_interval: timedelta = Field(
        timedelta(minutes=5), gt=timedelta(0), le=LONGEST, description="Pause between two checks while it is not."
    )
    critical_after: int = Field(3, ge=0, le=1_000, description="From which failure in a row on each is critical; 0: none.")
    repeat_after: timedelta = Field(
        timedelta(0), ge=timedelta(0), le=LONGEST, description="How long after a critical alert there is no other one; 0: each check."
    )
    recovery_notice: bool = Field(False, description="Tell also when it is healthy again.")


class StatusMonitorSettings(Section):
    """`status_monitor_workflow`."""

    target_template: str = Field("http://{job_id}:8000/health", description="What it looks at, unless its event says so.")
    healthy_interval: timedelta = Field(
        timedelta(seconds=60), gt=timedelta(0), le=LONGEST, description="Pause between two checks while all is well."
    )
    unhealthy_interval: timedelta = Field(
        timedelta(seconds=5), gt=timedelta(0), le=LONGEST, description="Pause between two checks while it is not."
    )


class JobMonitorSettings(Section):
    """`job_status_monitor`."""

    target_template: str = Field("http://{job_id}:8000/status", description="Whom it asks, unless its event says so.")
    interval: timedelta = Field(timedelta(minutes=5), gt=timedelta(0), le=LONGEST, description="Pause between two questions.")
