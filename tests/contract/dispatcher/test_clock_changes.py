"""The clock of the ledger is set ahead or back by ten minutes: nothing is lost or done twice, and one clock says what was in time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from office import Office
from settable_clock import SettableClock

from sayso.ledger.driving import lease_jobs

TEN_MINUTES = timedelta(minutes=10)
DEADLINE = timedelta(hours=24)


@pytest.fixture
def clock(office: Office, monkeypatch: pytest.MonkeyPatch) -> SettableClock:
    return SettableClock(office.ledger, monkeypatch)


def running(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")


@pytest.mark.parametrize("off", [TEN_MINUTES, -TEN_MINUTES], ids=["ahead", "back"])
def test_a_case_goes_on_while_the_clock_is_wrong_and_when_it_is_right_again(
    office: Office, clock: SettableClock, off: timedelta
) -> None:
    running(office)
    clock.set(off)
    office.decide()
    office.wait_until(lambda: office.states == ["started", "consumed"])
    clock.set(timedelta(0))
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    assert len(office.partners.effects) == 1


def test_what_was_received_before_the_clock_was_set_back_is_done_when_its_time_has_come_again(
    office: Office, clock: SettableClock
) -> None:
    clock.set(TEN_MINUTES)
    office.buy()
    clock.set(timedelta(0))
    office.open()
    assert office.states == ["received"]
    clock.set(TEN_MINUTES)
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")


def test_a_lease_that_a_clock_set_ahead_ends_too_soon_makes_nothing_happen_twice(office: Office, clock: SettableClock) -> None:
    """Two dispatchers then work on the same case."""
    running(office)
    office.close()
    office.decide()
    office.pay()
    clock.set(-TEN_MINUTES)
    office.ledger.transact(partial(lease_jobs, lease_ms=60_000, limit=10))
    clock.set(TEN_MINUTES)
    office.open(replicas=2)
    office.wait_for_outcomes("completed")
    assert len(office.partners.effects) == 1


def test_a_timer_before_the_deadline_by_a_clock_that_was_set_back_ends_nothing(office: Office, clock: SettableClock) -> None:
    running(office)
    clock.set(DEADLINE - TEN_MINUTES)
    office.real_engine.advance(DEADLINE + timedelta(seconds=2))
    assert office.cases[0].phase == "running"
    office.decide()
    office.wait_until(lambda: office.states == ["started", "consumed"])
    office.pay()
    office.wait_for_outcomes("completed")


def test_a_decision_after_the_deadline_by_a_clock_that_was_set_ahead_is_refused_and_the_case_ends_once(
    office: Office, clock: SettableClock
) -> None:
    """Also when the clock is right again before the engine's timer fires: what the ledger has written down holds."""
    running(office)
    clock.set(DEADLINE + TEN_MINUTES)
    office.decide()
    office.wait_until(lambda: office.states == ["started", "refused"])
    clock.set(DEADLINE)
    office.real_engine.advance(DEADLINE + timedelta(seconds=2))
    office.wait_for_outcomes("timed_out")
    assert [path for path, _ in office.partners.effects.values()] == ["/orders/PO-1/cancel"]
