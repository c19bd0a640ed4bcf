"""leave_request under virtual time: five days pass in a moment, and every turn is replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sayso.correlation.bindings import load_bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Start
from sayso.extensions import load_extensions
from sayso.settings import Settings
from sayso.testing.case_run import CaseRun
from sayso_worker.own import add_own

PROJECT = Path(__file__).resolve().parents[1]
add_own(load_extensions(PROJECT / "config"))

OpenLeave = Callable[..., CaseRun]


@pytest.fixture
def open_leave() -> Iterator[OpenLeave]:
    """Open a request of alice for ten days; fields and refusals can be changed."""
    opened = []

    def open_one(refusals: dict[str, str] | None = None, **changed: Any) -> CaseRun:
        request = {"leave_id": "L-1", "employee": "alice", "days": 10, "first_day": "2026-02-02", **changed}
        case = CaseRun("leave_request", "L-1", request, Settings(), refusals=refusals)
        opened.append(case)
        return case

    yield open_one
    for case in opened:
        case.run.check_replay()


def test_the_event_starts_it() -> None:
    bindings = load_bindings(PROJECT / "config/bindings.yaml")
    verdict = correlate(bindings, "leaves", (PROJECT / "events/leave-requested.json").read_bytes())
    assert isinstance(verdict, Start)
    assert (verdict.workflow, verdict.key) == ("leave_request", "L-7001")


def test_one_day_passes_by_itself(open_leave: OpenLeave) -> None:
    case = open_leave(days=1)
    assert case.run.call_names == ["book_leave"]
    assert case.run.result == {"status": "auto_approved", "leave_id": "L-1"}


def test_what_is_approved_is_booked(open_leave: OpenLeave) -> None:
    case = open_leave()
    case.approve("bob")
    assert case.run.call_names == ["book_leave"]
    assert case.closing.outcome == "approved"


def test_nobody_approves_an_own_request(open_leave: OpenLeave) -> None:
    case = open_leave()
    case.approve("alice")
    assert case.run.status == "RUNNING"
    assert "alice" in next(iter(case.refusals.values()))


def test_what_is_rejected_is_not_booked(open_leave: OpenLeave) -> None:
    case = open_leave()
    case.reject("bob", "not in February")
    assert (case.closing.outcome, case.closing.reason) == ("rejected", "not in February")
    assert "book_leave" not in case.run.call_names


def test_nobody_decides_for_five_days(open_leave: OpenLeave) -> None:
    case = open_leave()
    case.pass_time(days=5, seconds=2)
    assert case.closing.outcome == "timed_out"
    assert case.closing.reason == "No approval received within 5 days"


def test_what_the_service_refuses_is_a_failed_case(open_leave: OpenLeave) -> None:
    case = open_leave(refusals={"book_leave": "no days left"})
    case.approve("bob")
    assert (case.closing.outcome, case.closing.reason) == ("failed", "no days left")
