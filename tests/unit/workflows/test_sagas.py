"""Sagas under virtual time: what is undone, in which order, with what, and what is said when an undo fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from case_run import CaseRun

from sayso.contracts.workflow_io import Retries, StepInput, Unsettled
from sayso.policy import POLICIES
from sayso.settings import Settings

TASK = {"task_id": "T-1", "title": "Inspect", "assignee": "bob", "priority": "high"}
TRIP = {"trip_id": "TR-1", "traveller": "carol", "destination": "Vienna"}
ORDER = {"order_id": "O-1", "product": "cable", "quantity": 2, "amount": "480.00", "currency": "EUR", "requester": "carol"}
REQUESTS = {"task_processing_saga": TASK, "book_trip": TRIP, "order_saga": ORDER}
STEPS = {
    "task_processing_saga": [
        ("create_task_record", "delete_task_record"),
        ("reserve_assignee_capacity", "release_assignee_capacity"),
        ("notify_assignee", "send_cancellation_notice"),
        ("update_dashboard", None),
    ],
    "book_trip": [("book_flight", "cancel_flight"), ("book_hotel", "cancel_hotel"), ("book_car", "cancel_car")],
    "order_saga": [
        ("reserve_inventory", "release_inventory"),
        ("process_payment", "refund_payment"),
        ("ship_order", "cancel_shipment"),
    ],
}
EVERY_STEP = [(workflow, index) for workflow, steps in STEPS.items() for index in range(len(steps))]
EVERY_UNDO = [(workflow, index) for workflow, index in EVERY_STEP if STEPS[workflow][index][1] is not None]
WORDS = "Dashboard service unavailable"
OWN = ("give_up", "close_case", "confirm_deadline")


def opened(open_case: Any, workflow: str, **options: Any) -> CaseRun:
    case = open_case(workflow, next(iter(REQUESTS[workflow].values())), REQUESTS[workflow], **options)
    case.pass_time(hours=1)
    assert case.run.has_ended
    return case


def done(case: CaseRun) -> list[str]:
    """The effects that were asked for, in order, each once."""
    return list(dict.fromkeys(name for name in case.run.call_names if name not in OWN))


def bookings(case: CaseRun) -> dict[str, Any]:
    return {step.step: step.arguments["booking"] for step in case.steps if "booking" in step.arguments}


def unsettled(case: CaseRun) -> list[Unsettled]:
    return [step.unsettled for step in case.steps if step.unsettled is not None]


@pytest.mark.parametrize("workflow", STEPS)
def test_a_saga_that_goes_well_does_every_step_once_and_undoes_nothing(open_case: Any, workflow: str) -> None:
    case = opened(open_case, workflow)
    assert done(case) == [do for do, _ in STEPS[workflow]]
    assert (case.closing.outcome, case.closing.milestones) == ("completed", done(case))
    assert case.run.status == "COMPLETED"


@pytest.mark.parametrize(("workflow", "index"), EVERY_STEP)
def test_a_step_whose_effect_is_unknown_is_undone_with_all_before_it_in_reverse(open_case: Any, workflow: str, index: int) -> None:
    steps = STEPS[workflow][: index + 1]
    case = opened(open_case, workflow, failures={steps[-1][0]: WORDS})
    undos = [undo for _, undo in reversed(steps) if undo is not None]
    assert done(case) == [do for do, _ in steps] + undos
    assert (case.closing.outcome, case.closing.reason) == ("compensated", WORDS)
    known = {undo: {"done": do} for do, undo in steps[:-1] if undo is not None}
    assert bookings(case) == known | ({steps[-1][1]: None} if steps[-1][1] is not None else {})


@pytest.mark.parametrize(("workflow", "index"), EVERY_STEP)
def test_a_step_that_was_refused_had_no_effect_and_only_those_before_it_are_undone(open_case: Any, workflow: str, index: int) -> None:
    steps = STEPS[workflow][: index + 1]
    case = opened(open_case, workflow, refusals={steps[-1][0]: "no more of that"})
    undos = [undo for _, undo in reversed(steps[:-1]) if undo is not None]
    assert done(case) == [do for do, _ in steps] + undos
    assert case.run.call_names.count(steps[-1][0]) == 1
    assert (case.closing.outcome, case.closing.reason) == ("compensated", "no more of that")


@pytest.mark.parametrize(("workflow", "index"), EVERY_UNDO)
@pytest.mark.parametrize("how", ["failures", "refusals"])
def test_an_undo_that_fails_is_reported_and_the_others_still_run(open_case: Any, workflow: str, index: int, how: str) -> None:
    steps = STEPS[workflow]
    do, undo = steps[index]
    options: dict[str, Any] = {"failures": {steps[-1][0]: WORDS}}
    options.setdefault(how, {})
    options[how][undo] = "the desk is closed"
    case = opened(open_case, workflow, **options)
    assert done(case) == [do for do, _ in steps] + [undo for _, undo in reversed(steps) if undo is not None]
    booking = None if do == steps[-1][0] else {"done": do}
    assert unsettled(case) == [Unsettled(step=do, undo=undo, error="the desk is closed", booking=booking)]
    assert (case.closing.outcome, case.closing.reason) == ("failed", WORDS)
    assert undo not in case.closing.milestones


def test_an_undo_is_tried_as_often_as_the_setting_says() -> None:
    plan = POLICIES["book_trip"].plan(Settings())
    assert plan.undo_retries == Retries(first_interval_seconds=1, coefficient=2, interval_max_seconds=60, attempts=8)


def test_attempts_of_step_and_undo_have_one_key_each(open_case: Any) -> None:
    case = opened(open_case, "book_trip", failures={"book_hotel": "full", "cancel_flight": "closed"})
    assert (case.run.call_names.count("book_hotel"), case.run.call_names.count("cancel_flight")) == (4, 8)
    for name in ("book_hotel", "cancel_flight"):
        assert len({StepInput.model_validate(call.input).idempotency_key for call in case.run.calls if call.name == name}) == 1


def test_the_result_of_a_task_is_in_the_words_of_the_service(open_case: Any) -> None:
    assert opened(open_case, "task_processing_saga").run.result == {"status": "success", "task_id": "T-1", "error": None}
    failed = opened(open_case, "task_processing_saga", failures={"update_dashboard": WORDS})
    assert failed.run.result == {"status": "failed", "task_id": "T-1", "error": WORDS}


def test_a_trip_returns_its_bookings(open_case: Any) -> None:
    case = opened(open_case, "book_trip")
    bookings = {"flight": {"done": "book_flight"}, "hotel": {"done": "book_hotel"}, "car": {"done": "book_car"}}
    assert (case.run.result, case.closing.result) == (bookings, bookings)


def test_a_trip_that_failed_raises_the_original_error_after_its_cancellations(open_case: Any) -> None:
    case = opened(open_case, "book_trip", failures={"book_car": "Cars service unavailable", "cancel_hotel": "closed"})
    assert (case.run.status, case.run.result) == ("FAILED", None)
    assert str(case.run.failure).endswith("Cars service unavailable")
    assert (case.closing.outcome, case.closing.reason) == ("failed", "Cars service unavailable")
    assert case.run.call_names[-1] == "close_case"


def test_a_large_order_is_approved_first_in_the_same_case(open_case: Any) -> None:
    case = open_case("order_saga", "O-1", ORDER | {"amount": "1000.00"})
    assert (case.run.status, case.run.call_names) == ("RUNNING", [])
    case.approve("bob")
    case.pass_time(seconds=5)
    assert case.run.result == {"status": "success", "order_id": "O-1", "error": None}
    assert case.closing.milestones == ["approved", "reserve_inventory", "process_payment", "ship_order"]
    step = case.step("reserve_inventory")
    assert (step.used, step.decision and step.decision.decided_by) == ([11], "bob")


def test_a_large_order_that_is_rejected_or_not_decided_reserves_nothing(open_case: Any) -> None:
    rejected = open_case("order_saga", "O-1", ORDER | {"amount": "1000.00"})
    rejected.reject("bob", "too much")
    assert rejected.run.result == {"status": "rejected", "order_id": "O-1", "error": "too much"}
    late = open_case("order_saga", "O-1", ORDER | {"amount": "1000.00"})
    late.pass_time(hours=25)
    assert late.run.result == {"status": "timeout", "order_id": "O-1", "error": "No approval received within 24 hours"}
    assert [each.closing.outcome for each in (rejected, late)] == ["rejected", "timed_out"]
    assert not {"reserve_inventory"} & {*rejected.run.call_names, *late.run.call_names}


def paid_early(open_case: Any, *events: tuple[str, dict[str, Any]], **options: Any) -> CaseRun:
    """A large order whose payment arrives while it waits for approval."""
    case = open_case("order_saga", "O-1", ORDER | {"amount": "1200.00"}, **options)
    for name, data in events:
        case.receive(case.event(name, **data))
    case.approve("bob")
    case.pass_time(minutes=30)
    return case


PAID = ("payment_received", {"order_id": "O-1", "payment_id": "pay-1", "amount": "1200.00", "currency": "EUR"})


def test_an_order_that_is_paid_already_is_not_charged_again(open_case: Any) -> None:
    case = paid_early(open_case, PAID)
    assert done(case) == ["reserve_inventory", "ship_order"]
    assert case.step("ship_order").used == [11]
    assert case.closing.milestones == ["approved", "reserve_inventory", "paid already", "ship_order"]


def test_the_undo_of_a_payment_from_outside_is_its_refund(open_case: Any) -> None:
    case = paid_early(open_case, PAID, failures={"ship_order": "no driver"})
    assert done(case) == ["reserve_inventory", "ship_order", "cancel_shipment", "refund_payment", "release_inventory"]
    assert bookings(case)["refund_payment"] == {"payment_id": "pay-1", "captured": True}
    assert case.closing.outcome == "compensated"


def test_a_payment_of_another_amount_does_not_spare_the_charge(open_case: Any) -> None:
    case = paid_early(open_case, ("payment_received", PAID[1] | {"amount": "12.00"}))
    assert done(case) == ["reserve_inventory", "record_refusal", "process_payment", "ship_order"]
    assert case.refusals == {11: "paid 12.00 EUR, the order costs 1200.00 EUR"}


def test_an_order_whose_payment_has_failed_releases_what_it_reserved(open_case: Any) -> None:
    case = paid_early(open_case, ("payment_failed", {"order_id": "O-1", "reason": "card declined"}))
    assert done(case) == ["reserve_inventory", "release_inventory"]
    assert case.run.result == {"status": "failed", "order_id": "O-1", "error": "card declined"}


def test_a_payment_that_the_ledger_had_before_is_waited_for_although_it_was_not_raised_yet(open_case: Any) -> None:
    case = open_case("order_saga", "O-1", ORDER | {"amount": "1200.00"})
    case.pending = [1, 0]
    case.approve("bob")
    case.run.advance(timedelta(milliseconds=500))
    assert done(case) == ["reserve_inventory"]
    case.receive(case.event(PAID[0], **PAID[1]))
    case.pass_time(minutes=1)
    assert done(case) == ["reserve_inventory", "ship_order"]


def test_a_payment_after_the_charge_is_left_for_its_binding_to_give_back(open_case: Any) -> None:
    case = open_case("order_saga", "O-1", ORDER)
    case.run.advance(timedelta(milliseconds=1))
    with case.run.busy():
        case.receive(case.event(PAID[0], **PAID[1]))
    case.pass_time(minutes=1)
    assert done(case) == ["reserve_inventory", "process_payment", "ship_order"]
    assert (case.used, case.refusals) == ([], {})
