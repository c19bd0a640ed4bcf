"""An instance that waits for an answer which the engine has lost is ended and started again as another; nothing happens twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from office import BINDINGS, SETTINGS, Office
from sqlalchemy import Row

from sayso.engine import DISCARDED, HistoryEntry, UnreadableInstanceError
from sayso.ledger.schema import audit, cases
from sayso_subscribers.reconcile import Reconciler
from sayso_subscribers.unanswered import unanswered

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
IMPATIENT = SETTINGS.model_copy(update={"reconciler": SETTINGS.reconciler.model_copy(update={"stuck_after": timedelta(0)})})


def asked(number: int, minutes_ago: float = 60) -> HistoryEntry:
    return HistoryEntry(NOW - timedelta(minutes=minutes_ago), "TASK_SCHEDULED", "confirm_deadline", number=number)


def answered(number: int, kind: str = "TASK_COMPLETED") -> HistoryEntry:
    return HistoryEntry(NOW - timedelta(minutes=60), kind, None, answers=number)


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ([], None),
        ([asked(3), answered(3)], None),
        ([asked(3), answered(3, "TASK_FAILED"), asked(5), answered(5)], None),
        ([asked(3)], "confirm_deadline"),
        ([asked(3, minutes_ago=5)], None),
        ([answered(3), asked(3)], "confirm_deadline"),  # what daprd does: the answer stands before the call
        ([asked(2), answered(2), answered(3), asked(3)], "confirm_deadline"),
    ],
)
def test_an_answer_counts_only_behind_its_call(history: list[HistoryEntry], found: str | None) -> None:
    assert unanswered(history, NOW - timedelta(minutes=10)) == found


def stuck_case(office: Office) -> Row[object]:
    """Approved; the answer of `place_order` never comes."""
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    run = office.real_engine.runs[office.instance_id]
    with run.busy():
        office.decide()
        office.wait_until(lambda: office.states == ["started", "delivered"])
        run.lose_calls()
    return office.cases[0]


def test_a_stuck_case_is_said_and_goes_on(office: Office) -> None:
    stuck_case(office)
    office.pay()
    reconciler = Reconciler(office.ledger, office.engine, BINDINGS, IMPATIENT)
    office.wait_until(lambda: reconciler.work() or "discard" in office.engine.calls)
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    assert len(office.partners.effects) == 1
    assert "place_order" in office.alert("case-stuck")["reason"]
    assert "case-stuck" in [row.action for row in office.rows(audit)]


def test_a_case_that_waits_for_people_is_left_alone(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    checked = office.cases[0].checked_at_ms
    reconciler = Reconciler(office.ledger, office.engine, BINDINGS, IMPATIENT)
    office.wait_until(lambda: reconciler.work() or office.cases[0].checked_at_ms not in (None, checked))
    assert "history" in office.engine.calls
    assert "discard" not in office.engine.calls


def test_a_crash_after_the_end_of_a_stuck_instance_does_not_make_it_a_failed_case(office: Office) -> None:
    case = stuck_case(office)
    office.pay()
    office.real_engine.discard(str(case.instance_id))
    office.wait_for_outcomes("completed")
    assert "discard" not in office.engine.calls
    assert office.cases[0].run == 2
    assert len(office.partners.effects) == 1
    assert office.real_engine.runs[str(case.instance_id)].result == DISCARDED


@pytest.mark.parametrize("phase", ["running", "starting"])
def test_a_case_whose_instance_stays_unreadable_goes_on_as_another(office: Office, phase: str) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    office.decide()
    office.wait_until(lambda: office.partners.effects)
    if phase == "starting":  # the answer to its start was lost, and then it was spoilt
        office.change(cases, phase="starting", attempts=1)
    office.real_engine.spoil(office.instance_id)
    office.pay()
    reconciler = Reconciler(office.ledger, office.engine, BINDINGS, IMPATIENT)
    office.wait_until(lambda: reconciler.work() or office.cases[0].run == 2)
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    assert len(office.partners.effects) == 1
    assert f"{office.instance_id}_2" in office.real_engine.runs


def test_an_instance_that_was_unreadable_for_a_moment_goes_on_as_itself(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    office.engine.fail_next("state", 3, error=UnreadableInstanceError("a history key is missing from state store"))
    office.wait_until(lambda: office.cases[0].absent_since_ms is not None)
    office.wait_until(lambda: office.cases[0].absent_since_ms is None)
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.cases[0].run == 1
