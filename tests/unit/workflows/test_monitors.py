"""The three monitors, as docs/seeds.md says them (000, 003, 004)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from monitor_case import OPENED_AT, MonitorCase

from sayso.settings import HealthMonitorSettings, Settings
from sayso.targets import Seen

HEALTH, STATUS, JOB = "health_monitor_workflow", "status_monitor_workflow", "job_status_monitor"
GOOD, BAD, SILENT = Seen(200), Seen(503), Seen(None, "no answer within 5 s")
ELSEWHERE = "http://169.254.169.254/latest/meta-data"


@pytest.fixture
def begin() -> Iterator[Any]:
    """Begin a monitor; what it did is replayed when its test has ended."""
    begun = []

    def one(workflow: str, *answers: Seen, **options: Any) -> MonitorCase:
        case = MonitorCase(workflow, answers, **options)
        begun.append(case)
        return case

    yield one
    for case in begun:
        case.run.check_replay()
        assert case.run.status != "FAILED", case.run.failure


def told(answer: Any) -> Seen:
    return Seen(200, answer=answer)


# Intervals.


@pytest.mark.parametrize(("workflow", "healthy", "unhealthy"), [(HEALTH, 3600, 300), (STATUS, 60, 5)])
def test_a_check_is_made_at_once_then_by_the_intervals_of_the_seeds(begin: Any, workflow: str, healthy: int, unhealthy: int) -> None:
    case = begin(workflow, GOOD, BAD, GOOD)
    assert case.checks == 1
    case.pass_time(seconds=healthy - 1)
    assert case.checks == 1
    case.pass_time(seconds=2)
    assert case.checks == 2
    case.pass_time(seconds=unhealthy - 2)
    assert case.checks == 2
    case.pass_time(seconds=3)
    assert case.checks == 3
    case.pass_time(seconds=healthy - 5)
    assert case.checks == 3


def test_an_event_says_other_intervals(begin: Any) -> None:
    case = begin(HEALTH, GOOD, healthy_interval_seconds=10, unhealthy_interval_seconds=1)
    case.pass_time(seconds=101)
    assert case.checks == 11


def test_what_is_looked_at_is_the_settings_address_unless_the_event_says_so(begin: Any) -> None:
    settings = Settings(health_monitor=HealthMonitorSettings(target_template="http://localhost:8000/{job_id}/health"))
    assert begin(HEALTH, GOOD, settings=settings, target=None).target.asked == ["http://localhost:8000/web/health"]
    assert begin(HEALTH, GOOD).target.asked == ["http://127.0.0.1:8000/health"]


# Alerts.


def test_a_warning_on_the_change_then_critical_at_every_check_from_the_third_failure_on(begin: Any) -> None:
    case = begin(HEALTH, GOOD, BAD, SILENT, BAD, BAD, BAD, GOOD, BAD, GOOD)
    case.pass_time(hours=6)
    assert case.alerts == [("warning", 2), ("critical", 4), ("critical", 5), ("critical", 6), ("warning", 8)]
    assert case.status == {"is_healthy": True, "check_count": case.checks, "consecutive_failures": 0, "paused": False}


def test_a_repeat_interval_keeps_critical_alerts_apart(begin: Any) -> None:
    case = begin(HEALTH, BAD, repeat_after_seconds=900)
    case.pass_time(minutes=46)
    assert case.alerts == [("warning", 1), ("critical", 3), ("critical", 6), ("critical", 9)]


def test_a_recovery_is_told_when_that_is_asked_for(begin: Any) -> None:
    case = begin(HEALTH, BAD, BAD, GOOD, recovery_notice=True)
    case.pass_time(hours=3)
    assert case.alerts == [("warning", 1), ("info", 3)]


def test_in_a_maintenance_window_nobody_is_told_and_what_is_still_so_after_it_is(begin: Any) -> None:
    window = {"starts_at": OPENED_AT.isoformat(), "ends_at": (OPENED_AT + timedelta(minutes=7)).isoformat()}
    case = begin(HEALTH, BAD, BAD, BAD, GOOD, maintenance=[window])
    case.pass_time(minutes=9)
    assert (case.checks, case.alerts) == (2, [])
    case.pass_time(minutes=2)
    assert case.alerts == [("critical", 3)]


def test_a_status_monitor_warns_once_each_time_that_its_job_becomes_unhealthy(begin: Any) -> None:
    case = begin(STATUS, GOOD, BAD, BAD, BAD, BAD, GOOD, BAD, GOOD)
    case.pass_time(minutes=5)
    assert case.alerts == [("warning", 2), ("warning", 7)]
    message = next(outgoing.data["message"] for step in case.steps for outgoing in step.publish)
    assert message.startswith("Job 'web' is unhealthy!")


def test_who_starts_a_status_monitor_of_an_unhealthy_job_knows_that_it_is(begin: Any) -> None:
    case = begin(STATUS, BAD, BAD, GOOD, BAD, is_healthy=False)
    case.pass_time(seconds=75)
    assert case.alerts == [("warning", 4)]


# Jobs.


@pytest.mark.parametrize(("end", "notice"), [("completed", "notify_complete"), ("FAILED", "notify_failure")])
def test_a_job_is_asked_every_five_minutes_until_it_has_ended_and_then_told(begin: Any, end: str, notice: str) -> None:
    case = begin(JOB, told({"status": "running"}), BAD, told(["?"]), told({"status": end}), requester="carol")
    case.pass_time(minutes=14)
    assert (case.checks, case.run.has_ended) == (3, False)
    case.pass_time(minutes=2)
    assert case.run.result == {"status": end.lower(), "job_id": "web", "check_count": 4}
    assert case.closing.outcome == end.lower()
    notices = [(notice.name, notice.recipient) for step in case.steps for notice in step.notices]
    assert notices == [(notice, "carol")]


def test_without_a_requester_the_managers_hear_of_a_job(begin: Any) -> None:
    case = begin(JOB, told({"status": "completed"}))
    assert [notice.recipient for step in case.steps for notice in step.notices] == ["managers"]


# Events.


def test_a_paused_monitor_makes_no_checks_until_it_is_resumed_and_then_one_at_once(begin: Any) -> None:
    case = begin(HEALTH, GOOD)
    paused = case.receive("monitor_paused")
    case.pass_time(days=3)
    assert case.checks == 1
    resumed = case.receive("monitor_resumed")
    assert (case.checks, case.used) == (2, [paused, resumed])


def test_a_change_counts_at_once_and_what_it_leaves_out_stays(begin: Any) -> None:
    case = begin(HEALTH, GOOD, healthy_interval_seconds=100)
    case.receive("monitor_changed", target="http://127.0.0.1:9000/other")
    assert case.target.asked[-1] == "http://127.0.0.1:9000/other"
    case.receive("monitor_changed", healthy_interval_seconds=20)
    case.pass_time(seconds=41)
    assert case.checks == 5
    assert set(case.target.asked[1:]) == {"http://127.0.0.1:9000/other"}


def test_a_change_while_it_is_paused_leaves_it_paused(begin: Any) -> None:
    case = begin(HEALTH, GOOD)
    case.receive("monitor_paused")
    case.receive("monitor_changed", healthy_interval_seconds=20)
    case.pass_time(hours=2)
    assert case.checks == 1


@pytest.mark.parametrize(("workflow", "outcome"), [(HEALTH, "completed"), (STATUS, "completed"), (JOB, "cancelled")])
def test_a_monitor_that_is_stopped_ends_its_case_and_says_how_it_was(begin: Any, workflow: str, outcome: str) -> None:
    case = begin(workflow, GOOD)
    stopped = case.receive("monitor_stopped", reason="not needed")
    assert (case.closing.outcome, case.closing.reason, case.used) == (outcome, "not needed", [stopped])
    assert (case.run.result["status"], case.run.result["check_count"]) == ("stopped", 1)


@pytest.mark.parametrize("workflow", [HEALTH, STATUS, JOB])
def test_a_target_that_is_not_allowed_ends_the_start_and_nobody_looks_at_it(begin: Any, workflow: str) -> None:
    case = begin(workflow, GOOD, target=ELSEWHERE)
    assert case.checks == 0
    assert case.closing.outcome == "failed"
    assert "SAYSO_MONITOR__ALLOWED_TARGETS" in str(case.closing.reason)
    assert case.run.result["status"] == "refused"


def test_a_change_to_a_target_that_is_not_allowed_is_refused_and_changes_nothing(begin: Any) -> None:
    case = begin(HEALTH, GOOD)
    seq = case.receive("monitor_changed", target=ELSEWHERE, healthy_interval_seconds=1)
    case.pass_time(minutes=61)
    assert ELSEWHERE in case.refusals[seq]
    assert case.target.asked == ["http://127.0.0.1:8000/health"] * 2


def test_an_event_that_its_contract_does_not_know_is_refused(begin: Any) -> None:
    case = begin(HEALTH, GOOD)
    seq = case.receive("monitor_changed", healthy_interval_seconds=-1)
    assert "healthy_interval_seconds" in case.refusals[seq]
    assert not case.run.has_ended


def test_every_event_of_a_flood_in_the_middle_of_a_check_is_used_once(begin: Any) -> None:
    case = begin(HEALTH, GOOD)
    flood = [case.event("monitor_changed" if number % 2 else "monitor_paused") for number in range(40)]
    flood.append(case.event("monitor_resumed"))
    with case.run.busy():
        case.pass_time(minutes=61)
        case.run.raise_events(*flood, *flood)
    case.pass_time(hours=2)
    assert sorted(case.used) == [payload["seq"] for _, payload in flood]


# Months.


def test_a_history_is_as_short_after_a_thousand_checks_as_after_ten(begin: Any) -> None:
    case = begin(HEALTH, *([GOOD] * 5 + [BAD] * 4) * 50, healthy_interval_seconds=1, unhealthy_interval_seconds=1)
    case.pass_time(seconds=1000)
    sizes = [sum(event.ByteSize() for event in turn.history) for turn in case.run._turns]
    assert case.run.runs >= 1000
    assert max(sizes[-100:]) < 1.05 * max(sizes[:100])


def test_a_run_that_begins_anew_goes_on_from_the_last_check_and_applies_no_event_twice(begin: Any) -> None:
    first = begin(HEALTH, *[BAD] * 9, unhealthy_interval_seconds=10)
    first.receive("monitor_changed", unhealthy_interval_seconds=20)
    first.pass_time(seconds=61)
    paused = first.receive("monitor_paused")
    checks = first.checks
    kept = first.kept
    again = begin(HEALTH, GOOD, kept=kept, unhealthy_interval_seconds=10)
    again.run.raise_events(
        again.event("monitor_changed", seq=11, again=True, unhealthy_interval_seconds=20),
        again.event("monitor_paused", seq=paused, again=True),
    )
    again.pass_time(hours=5)
    assert again.checks == 0, "the last check is known, and it is paused"
    again.receive("monitor_resumed")
    assert again.status["check_count"] == checks + 1
    again.pass_time(minutes=61)
    assert again.checks == 2
