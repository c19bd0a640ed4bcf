"""Sagas on the real stack: started by an event on their topic, undone when a service fails, settled by a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from running_system import DEADLINE_SECONDS, RunningSystem
from shop_events import decision, event, fresh
from sqlalchemy import Row
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

from sayso.testing.saga_run.run import SETTINGS, Terms, saga_run

pytestmark = pytest.mark.stack
TASKS, ORDERS, TRIPS = "task_processing_saga", "order_saga", "book_trip"
QUICK = {name: value for name, value in SETTINGS.items() if name.startswith("SAYSO_")}


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def quick(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack whose sagas do not try for long."""
    with system_on(request.param, tmp_path_factory, **QUICK) as running:
        yield running


def ended(system: RunningSystem, key: str, workflow: str) -> Row[Any]:
    def closed() -> Row[Any] | None:
        case = system.case(key, workflow)
        return case if case is not None and case.phase == "closed" else None

    return eventually(closed, DEADLINE_SECONDS, f"{workflow} {key} has ended")


def faults(system: RunningSystem, *rules: dict[str, Any]) -> None:
    httpx2.put(f"{system.state.partners_url}/faults", json=list(rules), trust_env=False).raise_for_status()


def standing(system: RunningSystem, key: str) -> set[str]:
    books = httpx2.get(f"{system.state.partners_url}/books", params={"subject": key}, trust_env=False).json()["books"]
    return {line["resource"] for line in books if line["stands"]}


def order(order_id: str, amount: str = "480.00") -> dict[str, Any]:
    data = {"order_id": order_id, "product": "cable", "quantity": 2, "amount": amount, "currency": "EUR", "requester": "carol"}
    return event("com.acme.order.placed.v1", data)


def trip(trip_id: str) -> dict[str, Any]:
    return event("com.acme.trip.requested.v1", {"trip_id": trip_id, "traveller": "carol", "destination": "Vienna"})


def test_a_task_whose_dashboard_fails_is_undone_in_the_words_of_the_service(quick: RunningSystem) -> None:
    good, bad = fresh("T"), fresh("T")
    faults(quick, {"resource": "dashboard", "subject": bad, "status": 503})
    for key in (good, bad):
        data = {"task_id": key, "title": "Inspect", "assignee": "bob", "priority": "high"}
        quick.send(event("com.acme.task.submitted.v1", data))
    done, failed = ended(quick, good, TASKS), ended(quick, bad, TASKS)
    assert (done.outcome, json.loads(done.result)) == ("completed", {"status": "success", "task_id": good, "error": None})
    words = "Dashboard service unavailable"
    assert (failed.outcome, json.loads(failed.result)) == ("compensated", {"status": "failed", "task_id": bad, "error": words})
    assert standing(quick, good) == {"records", "capacity", "notifications", "dashboard"}
    assert standing(quick, bad) == set()
    undos = [kind for kind, _ in quick.effects(bad)][-3:]
    assert undos == ["notifications.cancelled", "capacity.released", "records.deleted"]
    assert quick.closed(bad, TASKS).outcome == "compensated"


def test_a_trip_returns_its_bookings(quick: RunningSystem) -> None:
    key = fresh("TR")
    quick.send(trip(key))
    result = json.loads(quick.closed(key, TRIPS).result)
    assert {name: (booking["trip_id"], booking["status"]) for name, booking in result.items()} == dict.fromkeys(
        ("flight", "hotel", "car"), (key, "booked")
    )


def test_a_trip_that_failed_is_cancelled_and_the_engine_shows_the_original_error(quick: RunningSystem) -> None:
    key = fresh("TR")
    faults(
        quick,
        {"resource": "cars", "subject": key, "status": 503, "after": True},
        {"resource": "hotels", "undo": True, "subject": key, "status": 503},
    )
    quick.send(trip(key))
    case = ended(quick, key, TRIPS)
    assert (case.outcome, case.reason) == ("failed", "Cars service unavailable")
    eventually(lambda: quick.engine_status(case.instance_id) == "FAILED", DEADLINE_SECONDS, f"{key} FAILED in the engine")
    state = quick.engine.state(case.instance_id)
    assert state is not None
    assert "Cars service unavailable" in str(state.failure)
    assert standing(quick, key) == {"hotels"}
    alerts = eventually(
        lambda: [one for one in quick.messages("alerts") if one["data"].get("key") == key], DEADLINE_SECONDS, f"an alert of {key}"
    )
    assert [(one["type"], one["data"]["step"]) for one in alerts] == [("sayso.saga.compensation-failed.v1", "book_hotel")]


def test_an_order_that_is_paid_already_is_not_charged_again(quick: RunningSystem) -> None:
    key = fresh("O")
    paid = {"workflow": ORDERS, "order_id": key, "amount": "480.00", "currency": "EUR", "payment_id": "pay-1"}
    early = event("com.acme.payment.captured.v1", paid)
    quick.send(early)
    quick.settled(early, "held")
    quick.send(order(key))
    assert quick.closed(key, ORDERS).outcome == "completed"
    assert standing(quick, key) == {"inventory", "shipments"}
    assert quick.row(early["id"]).state == "consumed"


def test_a_payment_after_the_charge_is_given_back(quick: RunningSystem) -> None:
    key = fresh("O")
    quick.send(order(key))
    quick.closed(key, ORDERS)
    paid = {"workflow": ORDERS, "order_id": key, "amount": "480.00", "currency": "EUR", "payment_id": "pay-1"}
    late = event("com.acme.payment.captured.v1", paid)
    quick.send(late)
    assert quick.settled(late, "late").answered_by is not None


def test_a_large_order_is_approved_first_in_the_same_case(quick: RunningSystem) -> None:
    key = fresh("O")
    quick.send(order(key, "4800.00"))
    quick.waiting_for("approval", key, ORDERS)
    assert standing(quick, key) == set()
    quick.send(decision(workflow=ORDERS, key=key, by="bob"))
    assert quick.closed(key, ORDERS).outcome == "completed"
    assert len(quick.cases(key)) == 1


def test_the_books_balance_whatever_fails_and_whenever_the_worker_is_killed(tmp_path: Path) -> None:
    """A few seeds of what `make sagas` does for 200."""
    said: list[str] = []
    boundaries = ("book_flight", "process_payment", "release_assignee_capacity")
    result = saga_run(Terms(range(1, 10), tmp_path, wave=9, boundaries=boundaries), said.append)
    assert not result.wrong, "\n".join([*said, *result.wrong])
    assert sum(result.outcomes.values()) == 27
    assert result.killed_after
