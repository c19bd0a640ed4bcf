"""An answer that daprd puts where another call's belongs is passed over; the call is made again, and its effect is not lost."""

from __future__ import annotations

from typing import Any

from case_run import CaseRun

from sayso.settings import Settings

ORDER = {"order_id": "PO-1", "cost": "1200.00", "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
MISPLACED = {"pending": 1, "answers_to": "confirm_deadline"}


def answer_first_with(case: Any, activity: str, answers: list[dict[str, Any]]) -> None:
    rightly = case.run._activities[activity]
    case.run._activities[activity] = lambda ctx, given: answers.pop(0) if answers else rightly(ctx, given)


def test_an_order_is_placed_although_the_answer_to_a_deadline_stood_there(open_order: Any) -> None:
    case = open_order()
    answer_first_with(case, "place_order", [MISPLACED])
    case.approve()
    case.receive(case.paid())
    assert case.run.call_names == ["place_order", "place_order", "close_case"]
    first, second = case.run.calls[:2]
    assert first.input == second.input, "the same step under the same idempotency key"
    assert second.answer == {"done": "place_order"}
    assert case.closing.outcome == "completed"
    case.run.check_replay()


def test_answers_that_stay_misplaced_fail_the_workflow_instead_of_being_believed() -> None:
    case = CaseRun("purchase_order_workflow", "PO-1", ORDER, Settings())
    answer_first_with(case, "place_order", [MISPLACED] * 5)
    case.approve()
    assert case.run.status == "FAILED"
    assert "place_order got the answers of other calls" in str(case.run.failure)
