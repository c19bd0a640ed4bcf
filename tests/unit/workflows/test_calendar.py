"""Deadlines are spans of time: no change of clocks, leap day or far year makes them longer, shorter or fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from case_run import CaseRun

from sayso.settings import Settings

ORDER = {"order_id": "PO-1", "cost": "1200.00", "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
MOMENTS = {
    "clocks go forward": datetime(2026, 3, 28, 12, tzinfo=UTC),
    "clocks go back": datetime(2026, 10, 24, 12, tzinfo=UTC),
    "the night of the change": datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
    "before a leap day": datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC),
    "on a leap day": datetime(2028, 2, 29, 12, tzinfo=UTC),
    "the last day of a year": datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
    "beyond 32 bits": datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC),
    "far future": datetime(9990, 1, 1, tzinfo=UTC),
}


@pytest.fixture(params=["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own time zone, which must not matter."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def opened_at(moment: datetime) -> CaseRun:
    return CaseRun("purchase_order_workflow", "PO-1", ORDER, Settings(), opened_at=moment)


@pytest.mark.parametrize("label", MOMENTS)
@pytest.mark.usefixtures("zone")
def test_an_order_waits_exactly_24_hours(label: str) -> None:
    case = opened_at(MOMENTS[label])
    case.pass_time(hours=24)
    assert case.steps == []
    case.pass_time(seconds=2)
    assert case.closing.outcome == "timed_out"
    assert datetime.fromisoformat(case.deadlines[0]["deadline"]) == MOMENTS[label] + timedelta(hours=24)
    case.run.check_replay()


@pytest.mark.parametrize("label", MOMENTS)
@pytest.mark.usefixtures("zone")
def test_a_decision_in_the_last_second_counts_and_a_payment_has_its_seven_days(label: str) -> None:
    case = opened_at(MOMENTS[label])
    case.pass_time(hours=23, minutes=59, seconds=59)
    case.approve()
    case.pass_time(days=6, hours=23, minutes=59)
    case.receive(case.paid())
    assert case.closing.outcome == "completed"
    case.run.check_replay()
