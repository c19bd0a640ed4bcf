"""Cases that somebody starts through Dapr's own workflow API: taken into the ledger by their first activity, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from office import SETTINGS, MemoryPartners, Office

from sayso.contracts.requests import PurchaseRequested
from sayso.contracts.workflow_io import CaseInput
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.cases import Rules
from sayso.ledger.schema import audit, events, tasks
from sayso.services import PartnerClient
from sayso.testing.memory import MemoryEngine
from sayso_worker.activities.steps import confirm_deadline_activity, step_activity, take_case_activity
from sayso_worker.registry import STEPS, WORKFLOWS, versions_of

ORDER = {"cost": "1250.00", "product": "Laptop", "quantity": 1, "requester": "alice"}
WORKFLOW = "purchase_order_workflow"


def engine_with_door(ledger: Ledger, partners: MemoryPartners, **changed: Any) -> MemoryEngine:
    """What the worker registers."""
    client = cast("PartnerClient", partners)
    activities: dict[str, Any] = {name: step_activity(name, effect, ledger, client) for name, effect in STEPS.items()}
    activities["confirm_deadline"] = confirm_deadline_activity(ledger)
    rules = Rules(SETTINGS.model_copy(update=changed), read_ledger_id(ledger))
    activities["take_case"] = take_case_activity(ledger, rules)
    return MemoryEngine({name: list(versions_of(name).values())[-1] for name in WORKFLOWS}, activities)


@pytest.fixture
def door(ledger: Ledger) -> Iterator[Office]:
    opened = Office(ledger, engine_with_door)
    opened.open()
    yield opened
    opened.close()


def start(office: Office, instance_id: str, given: Any) -> Any:
    office.real_engine.start(WORKFLOW, instance_id, given)
    return office.real_engine.runs[instance_id]


@pytest.mark.parametrize("encode", [lambda given: given, json.dumps], ids=["object", "encoded twice"])
def test_a_case_that_was_started_there_is_in_the_ledger_and_goes_on_like_any_other(door: Office, encode: Any) -> None:
    start(door, "my-order", encode({**ORDER, "order_id": "PO-9"}))
    (case,) = door.cases
    assert (case.instance_id, case.key, case.generation, case.phase) == ("my-order", "PO-9", 1, "running")
    (opening,) = door.rows(events)
    assert (opening.topic, opening.state, case.opened_by) == ("dapr-api", "started", opening.seq)
    assert [row.state for row in door.rows(tasks)] == ["open"]
    door.decide("PO-9")
    door.wait_until(lambda: door.cases[0].stage == "waits for payment")
    door.receive("payments", "com.acme.payment.captured.v1", {"order_id": "PO-9", "amount": "1250.00", "currency": "USD"})
    door.wait_for_outcomes("completed")
    (opened,) = [row for row in door.rows(audit) if row.action == "case-opened"]
    assert (opened.channel, opened.instance_id) == ("dapr-api", "my-order")


def test_a_request_without_a_key_has_its_instance_id_as_key(door: Office) -> None:
    start(door, "my-order", ORDER)
    assert door.cases[0].key == "my-order"


def test_early_events_find_a_case_that_was_started_there(door: Office) -> None:
    order = PurchaseRequested.model_validate({**ORDER, "order_id": "PO-9"}).model_dump(mode="json")
    door.signer.remember("purchase_order_workflow", "PO-9", order)
    door.decide("PO-9")
    door.wait_until(lambda: door.states == ["held"])
    start(door, "my-order", {**ORDER, "order_id": "PO-9"})
    door.wait_until(lambda: door.cases[0].stage == "waits for payment")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({**ORDER, "quantity": 0}, "`quantity`: input should be greater than or equal to 1"),
        ("no JSON at all", "`cost`: field required"),
        (None, "`cost`: field required"),
        ({**ORDER, "product": "\x00"}, "it contains a NUL character"),
    ],
)
def test_what_is_no_request_ends_with_the_reason(door: Office, given: Any, reason: str) -> None:
    run = start(door, "my-order", given)
    assert (run.status, door.cases) == ("FAILED", [])
    assert reason in run.failure
    (entry,) = [row for row in door.rows(audit) if row.action == "start-refused"]
    assert (entry.channel, entry.instance_id) == ("dapr-api", "my-order")


def test_with_raw_raises_off_nothing_is_started_there(ledger: Ledger) -> None:
    office = Office(ledger, lambda ledger, partners: engine_with_door(ledger, partners, accept_raw_raise=False))
    run = start(office, "my-order", ORDER)
    assert (run.status, office.cases) == ("FAILED", [])
    assert "it was started past the ledger, and accept_raw_raise is off" in run.failure
    office.close()


def test_a_key_whose_case_is_open_or_has_ended_is_refused(door: Office) -> None:
    door.buy("PO-9")
    door.wait_until(lambda: door.cases and door.cases[0].phase == "running")
    assert "the case for key 'PO-9' is open" in start(door, "second", {**ORDER, "order_id": "PO-9"}).failure
    door.decide("PO-9", approved=False)
    door.wait_for_outcomes("rejected")
    assert "the case for key 'PO-9' has ended" in start(door, "third", {**ORDER, "order_id": "PO-9"}).failure


def test_an_ended_id_that_is_started_again_is_refused(door: Office) -> None:
    start(door, "my-order", {**ORDER, "cost": "5"})
    door.wait_for_outcomes("auto_approved")
    assert "has ended; it is not run again" in start(door, "my-order", {**ORDER, "cost": "5"}).failure
    assert len(door.cases) == 1


def test_one_that_the_engine_loses_is_started_again_with_its_case(door: Office) -> None:
    start(door, "my-order", {**ORDER, "order_id": "PO-9"})
    door.real_engine.forget("my-order")
    door.wait_until(lambda: "my-order" in door.real_engine.runs)
    assert door.real_engine.runs["my-order"].call_names == []
    door.decide("PO-9", approved=False)
    door.wait_for_outcomes("rejected")


def test_an_input_that_was_made_up_for_another_case_is_refused(door: Office) -> None:
    start(door, "my-order", {**ORDER, "order_id": "PO-9"})
    forged = CaseInput.model_validate_json(door.cases[0].input).model_dump(mode="json")
    run = start(door, "another", forged)
    assert run.status == "FAILED"
    assert "this input belongs to another case: my-order" in run.failure
