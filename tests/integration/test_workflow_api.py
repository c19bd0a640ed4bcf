"""Operators' acts and Dapr's own workflow API, with plain HTTP calls to daprd, on the real runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from running_system import PURCHASES, RunningSystem
from shop_events import decision, fresh, payment, purchase
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

from sayso.settings import Settings
from sayso.workflows import Workflows

pytestmark = pytest.mark.stack
WHO: dict[str, str] = {"actor": "olga", "reason": "asked by phone"}
QUICK = {
    "SAYSO_RECONCILER__CHECK_INTERVAL": "PT4S",
    "SAYSO_RECONCILER__CHECK_INTERVAL_MAX": "PT4S",
}
SECONDS = 30.0
ORDER = {"cost": "1250.00", "product": "Laptop", "quantity": 1, "requester": "alice"}
STATUS_KEYS = {"instanceID", "workflowName", "createdAt", "lastUpdatedAt", "runtimeStatus", "properties"}


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def quick(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack that compares its cases with the engine every four seconds."""
    with system_on(request.param, tmp_path_factory, **QUICK) as running:
        yield running


@pytest.fixture
def workflows(quick: RunningSystem) -> Workflows:
    return Workflows(quick.ledger, Settings())


class Daprd:
    """The sidecar's workflow API."""

    def __init__(self, system: RunningSystem) -> None:
        self._root = f"http://127.0.0.1:{system.state.dapr_http_port}/v1.0/workflows/dapr"

    def start(self, workflow: str, instance_id: str, given: Any) -> Any:
        url = f"{self._root}/{workflow}/start?instanceID={instance_id}"
        return httpx2.post(url, json=given, timeout=20, trust_env=False).raise_for_status()

    def status(self, instance_id: str) -> dict[str, Any]:
        answer = httpx2.get(f"{self._root}/{instance_id}", timeout=20, trust_env=False)
        found: dict[str, Any] = answer.json() if answer.is_success else {}
        return found

    def raise_event(self, instance_id: str, name: str, payload: Any) -> Any:
        url = f"{self._root}/{instance_id}/raiseEvent/{name}"
        return httpx2.post(url, json=payload, timeout=20, trust_env=False).raise_for_status()

    def raise_text(self, instance_id: str, name: str, text: str) -> Any:
        url = f"{self._root}/{instance_id}/raiseEvent/{name}"
        return httpx2.post(url, content=text, timeout=20, trust_env=False).raise_for_status()

    def reaches(self, instance_id: str, status: str) -> dict[str, Any]:
        eventually(lambda: self.status(instance_id).get("runtimeStatus") == status, SECONDS, f"{instance_id} {status}")
        return self.status(instance_id)


@pytest.fixture
def daprd(quick: RunningSystem) -> Daprd:
    return Daprd(quick)


def told(workflows: Workflows, number: int | None) -> str:
    assert number is not None
    return eventually(lambda: workflows.carried_out(number), SECONDS, f"act {number} is told")


def test_a_suspended_case_waits_with_its_events_until_it_is_resumed(quick: RunningSystem, workflows: Workflows) -> None:
    order = fresh("PO")
    case = quick.open_purchase(order)
    told(workflows, workflows.suspend(case.instance_id, **WHO).number)
    assert quick.engine_status(case.instance_id) == workflows.status(order)["runtimeStatus"] == "SUSPENDED"
    quick.send(decision(order_id=order))
    eventually(lambda: [one.state for one in quick.rows_of_case(order)][-1:] == ["delivered"], SECONDS, "the decision is delivered")
    checked = quick.case(order).checked_at_ms or 0  # type: ignore[union-attr]
    eventually(lambda: (quick.case(order).checked_at_ms or 0) > checked, SECONDS, "it was compared")  # type: ignore[union-attr]
    assert quick.case(order).finding is None  # type: ignore[union-attr]
    told(workflows, workflows.resume(case.instance_id, **WHO).number)
    quick.waiting_for("payment", order)
    quick.send(payment(order))
    assert quick.closed(order).outcome == "completed"


def test_suspending_and_resuming_twice_past_the_ledger_harms_nothing(quick: RunningSystem) -> None:
    """The SDK's executor would loop, or fail the workflow (ADR 0011)."""
    order = fresh("PO")
    case = quick.open_purchase(order)
    quick.engine.resume(case.instance_id)
    for _ in range(2):
        quick.engine.suspend(case.instance_id)
    eventually(lambda: quick.engine_status(case.instance_id) == "SUSPENDED", SECONDS, "suspended")
    for _ in range(2):
        quick.engine.resume(case.instance_id)
    eventually(lambda: quick.engine_status(case.instance_id) == "RUNNING", SECONDS, "resumed")
    quick.send(decision(order_id=order), payment(order))
    assert quick.closed(order).outcome == "completed"


def test_a_terminated_case_is_cancelled_and_a_payment_for_it_is_given_back(quick: RunningSystem, workflows: Workflows) -> None:
    order = fresh("PO")
    case = quick.open_purchase(order)
    asked = workflows.terminate(case.instance_id, **WHO)
    told(workflows, asked.number)
    eventually(lambda: quick.engine_status(case.instance_id) == "TERMINATED", SECONDS, "terminated")
    assert workflows.status(order)["runtimeStatus"] == "TERMINATED"
    assert quick.outcome(order)["data"]["outcome"] == "cancelled"
    late = payment(order)
    quick.send(late)
    assert quick.settled(late, "late").answered_by is not None


def test_a_case_that_failed_in_the_engine_is_retried_and_nothing_happens_twice(quick: RunningSystem, workflows: Workflows) -> None:
    failed = eventually(lambda: _failed_in_the_engine(quick), 5 * SECONDS, "an instance that fails before the reconciler sees its end")
    order = failed.key
    assert (failed.outcome, workflows.status(order)["runtimeStatus"]) == ("failed", "FAILED")
    again = workflows.retry(failed.instance_id, **WHO)
    assert again.done, again
    quick.send(payment(order))
    case = quick.closed(order)
    assert (case.instance_id, case.generation, case.outcome) == (again.case, 2, "completed")
    assert quick.effects(order) == [("orders.placed", 1)]


def test_what_has_ended_is_purged_and_its_status_is_still_answered(quick: RunningSystem, workflows: Workflows) -> None:
    order = fresh("PO")
    quick.send(purchase(order, cost="5.00"))
    case = quick.closed(order)
    told(workflows, workflows.purge(case.instance_id, **WHO).number)
    assert quick.engine.state(case.instance_id) is None
    status = workflows.status(order)
    assert (status["runtimeStatus"], json.loads(status["properties"]["dapr.workflow.output"])) == ("COMPLETED", "Auto-approved")


def test_our_status_has_the_keys_of_daprds(quick: RunningSystem, workflows: Workflows, daprd: Daprd) -> None:
    order = fresh("PO")
    case = quick.open_purchase(order)
    theirs, ours = daprd.status(case.instance_id), workflows.status(order)
    assert set(ours) == STATUS_KEYS <= set(theirs)
    same = ("instanceID", "workflowName", "runtimeStatus")
    assert [ours[name] for name in same] == [theirs[name] for name in same] == [case.instance_id, PURCHASES, "RUNNING"]
    given = [json.loads(one["properties"]["dapr.workflow.input"])["request"]["order_id"] for one in (ours, theirs)]
    assert given == [order, order]


@pytest.mark.parametrize("encode", [lambda data: data, json.dumps], ids=["object", "as the dapr CLI encodes it"])
def test_a_case_that_is_started_and_decided_through_daprd_is_accounted_for(quick: RunningSystem, daprd: Daprd, encode: Any) -> None:
    order, instance_id = fresh("PO"), fresh("started")
    answer = daprd.start(PURCHASES, instance_id, encode({**ORDER, "order_id": order}))
    assert (answer.status_code, answer.json()) == (202, {"instanceID": instance_id})
    case = quick.waiting_for("approval", order)
    assert case.instance_id == instance_id
    daprd.raise_event(instance_id, "approval_received", encode({"approved": True, "approver": "bob"}))
    quick.waiting_for("payment", order)
    daprd.raise_text(instance_id, "payment_received", "no JSON")
    quick.send(payment(order))
    assert quick.closed(order).outcome == "completed"
    assert [(one.topic, one.state) for one in quick.rows_of_case(order)] == [
        ("dapr-api", "started"),
        ("dapr-api", "consumed"),
        ("payments", "consumed"),
    ]
    assert daprd.reaches(instance_id, "COMPLETED")["properties"]["dapr.workflow.output"] == json.dumps("Approved by 'bob'")


def test_a_workflow_starts_by_the_other_name_that_a_seed_has_for_it(quick: RunningSystem, daprd: Daprd) -> None:
    instance_id = fresh("chain")
    daprd.start("task_chain", instance_id, {"value": 10})
    assert json.loads(daprd.reaches(instance_id, "COMPLETED")["properties"]["dapr.workflow.output"]) == [11, 22, 20]
    assert quick.closed(instance_id, "task_chain_workflow").outcome == "completed"


def test_what_is_started_through_daprd_and_cannot_be_a_case_fails_with_the_reason(quick: RunningSystem, daprd: Daprd) -> None:
    order = fresh("PO")
    quick.open_purchase(order)
    second, wrong = fresh("started"), fresh("started")
    daprd.start(PURCHASES, second, {**ORDER, "order_id": order})
    daprd.start(PURCHASES, wrong, {"order_id": order})
    message = "dapr.workflow.failure.error_message"
    assert f"the case for key '{order}' is open" in daprd.reaches(second, "FAILED")["properties"][message]
    assert "`cost`: field required" in daprd.reaches(wrong, "FAILED")["properties"][message]
    assert len(quick.cases(order)) == 1


def _failed_in_the_engine(quick: RunningSystem) -> Any:
    """A placed order whose instance was ended and begun again with nonsense; None when the reconciler looked in between."""
    order = fresh("PO")
    quick.open_purchase(order)
    quick.send(decision(order_id=order))
    instance_id = quick.waiting_for("payment", order).instance_id
    quick.engine.terminate(instance_id, "to begin it again with nonsense")
    eventually(lambda: quick.engine_status(instance_id) != "RUNNING", SECONDS, "terminated")
    quick.engine.start(PURCHASES, instance_id, {"order_id": "not", "quantity": 0})
    closed = eventually(lambda: _closed(quick, order), SECONDS, "the case is closed")
    return None if closed.ended_as == "TERMINATED" else closed


def _closed(quick: RunningSystem, order: str) -> Any:
    case = quick.case(order)
    return case if case is not None and case.phase == "closed" else None
