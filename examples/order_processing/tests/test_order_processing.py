"""OrderProcessingWorkflow under virtual time, in the words and numbers of seed 003."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sayso.extensions import load_extensions
from sayso.settings import Settings
from sayso.testing.case_run import CaseRun
from sayso_worker.own import add_own

PROJECT = Path(__file__).resolve().parents[1]
add_own(load_extensions(PROJECT / "config"))

OpenOrder = Callable[..., CaseRun]


@pytest.fixture
def open_order() -> Iterator[OpenOrder]:
    """Open an order of 1500; fields and refusals can be changed."""
    opened = []

    def open_one(refusals: dict[str, str] | None = None, **changed: Any) -> CaseRun:
        order = {"order_id": "12345678", "Name": "Paperclips", "Quantity": 1, "TotalCost": "1500", **changed}
        opened.append(CaseRun("OrderProcessingWorkflow", "12345678", order, Settings(), refusals=refusals))
        return opened[-1]

    yield open_one
    for case in opened:
        case.run.check_replay()


def decide(case: CaseRun, **decision: Any) -> None:
    case.receive(case.event("ManagerApproval", **decision))


@pytest.mark.parametrize("cost", ["9.95", "1000"])
def test_an_order_that_is_not_over_the_threshold_is_processed(open_order: OpenOrder, cost: str) -> None:
    case = open_order(TotalCost=cost)
    assert case.run.result == {"Processed": True}
    assert case.run.call_names == ["place_order"]


def test_an_order_over_the_threshold_waits_for_a_manager(open_order: OpenOrder) -> None:
    case = open_order(TotalCost="1000.01")
    assert case.run.status == "RUNNING"
    decide(case, approved=True, approver="bob")
    assert (case.run.result, case.closing.outcome) == ({"Processed": True}, "approved")


def test_a_rejected_order_is_not_processed(open_order: OpenOrder) -> None:
    case = open_order()
    decide(case, approved=False, approver="bob")
    assert (case.run.result, case.closing.outcome) == ({"Processed": False}, "rejected")
    assert "place_order" not in case.run.call_names


def test_a_decision_of_nobody_changes_nothing(open_order: OpenOrder) -> None:
    case = open_order()
    decide(case, approved=True)
    assert case.run.status == "RUNNING"


def test_nobody_decides_for_three_days_and_it_is_not_processed(open_order: OpenOrder) -> None:
    case = open_order()
    case.pass_time(days=3)
    assert case.run.status == "RUNNING"
    case.pass_time(seconds=2)
    assert (case.run.result, case.closing.outcome) == ({"Processed": False}, "timed_out")
    assert case.closing.reason == "No approval received within 3 days"


def test_an_order_that_the_shop_refuses_is_not_processed(open_order: OpenOrder) -> None:
    case = open_order(refusals={"place_order": "no paperclips left"}, TotalCost="9.95")
    assert (case.run.result, case.closing.reason) == ({"Processed": False}, "no paperclips left")
