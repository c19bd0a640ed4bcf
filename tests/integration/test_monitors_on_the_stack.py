"""Monitors on the real stack: started, changed and stopped by events, their outcomes and alerts on the topics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_system import RunningSystem
from shop_events import Event, event, fresh
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

from sayso.testing.monitor_run.run import Terms, monitor_run

pytestmark = pytest.mark.stack
HEALTH, STATUS, JOB = "health_monitor_workflow", "status_monitor_workflow", "job_status_monitor"
END_SECONDS = 90.0


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def watch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    with system_on(request.param, tmp_path_factory) as running:
        yield running


def monitor(kind: str, verb: str, job_id: str, **fields: object) -> Event:
    return event(f"com.acme.{kind}-monitor.{verb}.v1", {"job_id": job_id, **fields}, source="/operations")


def test_a_status_monitor_is_started_changed_and_stopped_by_events(watch: RunningSystem) -> None:
    key = fresh("status")
    watch.send(monitor("status", "started", key, target=f"{watch.state.partners_url}/health"))
    eventually(lambda: (case := watch.case(key, STATUS)) and case.stage == "has made 1 checks, healthy", END_SECONDS, "a check")
    changed = monitor("status", "changed", key, target=f"{watch.state.partners_url}/nothing-here")
    again = monitor("status", "started", key)
    watch.send(changed, again)
    watch.settled(changed, "consumed")
    watch.settled(again, "refused")
    alerts = eventually(
        lambda: [one for one in watch.messages("alerts") if one["data"].get("job_id") == key], END_SECONDS, "an alert on the topic"
    )
    assert {alert["data"]["severity"] for alert in alerts} == {"warning"}
    stopped, late = monitor("status", "stopped", key), monitor("status", "paused", key)
    watch.send(stopped)
    assert watch.closed(key, STATUS, END_SECONDS).outcome == "completed"
    assert watch.outcome(key)["data"]["result"]["status"] == "stopped"
    watch.send(late)
    watch.settled(late, "late")


def test_a_job_that_has_ended_ends_its_monitor_and_its_requester_is_told(watch: RunningSystem) -> None:
    done, failed = fresh("job"), fresh("job")
    watch.send(monitor("job", "started", done, target=f"{watch.state.partners_url}/jobs/{done}", requester="carol"))
    watch.send(monitor("job", "started", failed, target=f"{watch.state.partners_url}/jobs/fail-{failed}", requester="carol"))
    assert watch.closed(done, JOB, END_SECONDS).outcome == "completed"
    assert watch.closed(failed, JOB, END_SECONDS).outcome == "failed"
    assert watch.outcome(failed)["data"]["result"] == {"status": "failed", "job_id": failed, "check_count": 1}


def test_a_target_that_is_not_allowed_ends_the_start_with_its_reason(watch: RunningSystem) -> None:
    key = fresh("health")
    watch.send(monitor("health", "started", key, target="http://169.254.169.254/latest/meta-data"))
    assert watch.closed(key, HEALTH, END_SECONDS).outcome == "failed"
    assert "SAYSO_MONITOR__ALLOWED_TARGETS" in watch.outcome(key)["data"]["reason"]


def test_a_monitor_tells_what_its_targets_own_log_calls_for_and_accounts_for_every_event(tmp_path: Path) -> None:
    """A short one of `make monitors`."""
    result = monitor_run(Terms(iterations=60, state_dir=tmp_path, seed=7), lambda _: None)
    assert not result.wrong
    assert result.checks >= 55
    assert {point.step_rows for point in result.points} <= {1, 2, 3}
