"""`sayso workflow`: status for polling, and acts of operators, with and without somebody who tells the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from answers import Sayso
from ledger_world import World

from sayso.ledger import acts as ledger_acts
from sayso.ledger.schema import acts, audit, cases

WHO = ("--as", "olga", "--reason", "asked by phone")
AT_ONCE = ("--timeout", "0")
KEYS = ["instanceID", "workflowName", "createdAt", "lastUpdatedAt", "runtimeStatus", "properties"]
TOLD_SECONDS = 30.0
PAUSE_SECONDS = 0.02


@pytest.fixture
def opened(world: World) -> World:
    """PO-1, which runs and waits for its approval."""
    world.buy()
    world.drive()
    return world


@pytest.fixture
def dispatcher(opened: World) -> Iterator[None]:
    """Somebody who tells the engine what was asked for."""
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(PAUSE_SECONDS):
            for act in opened.ledger.transact(partial(ledger_acts.lease_acts, lease_ms=20_000, limit=10)):
                opened.ledger.transact(partial(ledger_acts.act_done, act=act, answer="the engine was told"))

    thread = threading.Thread(target=tell)
    thread.start()
    yield
    stop.set()
    thread.join(TOLD_SECONDS)


def fail(world: World) -> None:
    """Its workflow has ended with an error."""
    world.close("failed")
    world.change(cases, ended_as="FAILED")


def test_the_status_is_said_in_a_line_and_as_daprs_api_says_it(opened: World, sayso: Sayso) -> None:
    answer = sayso("workflow", "status", "PO-1")
    assert (answer.code, answer.out) == (0, f"RUNNING  {opened.case.instance_id}\n")
    status = sayso("workflow", "status", "PO-1", "--json").json
    assert list(status) == KEYS
    assert (status["workflowName"], status["runtimeStatus"]) == ("purchase_order_workflow", "RUNNING")
    assert json.loads(status["properties"]["dapr.workflow.input"])["request"]["order_id"] == "PO-1"
    assert json.loads(status["properties"]["dapr.workflow.custom_status"]) == "waits for approval"


def test_a_case_that_is_being_started_is_pending_and_one_that_has_ended_says_how(world: World, sayso: Sayso) -> None:
    world.buy()
    assert sayso("workflow", "status", "PO-1").out.startswith("PENDING  ")
    world.drive()
    world.close("completed", "Approved by 'bob'")
    status = sayso("workflow", "status", "PO-1", "--json").json
    assert (status["runtimeStatus"], json.loads(status["properties"]["dapr.workflow.output"])) == ("COMPLETED", "Approved by 'bob'")
    world.change(cases, ended_as="FAILED", reason="a bug")
    status = sayso("workflow", "status", "PO-1", "--json").json
    assert (status["runtimeStatus"], status["properties"]["dapr.workflow.failure.error_message"]) == ("FAILED", "a bug")


def test_waiting_for_an_end_that_does_not_come_is_an_exit_code(opened: World, sayso: Sayso) -> None:
    assert sayso("workflow", "status", "PO-1", "--wait", "--timeout", "0.2").code == 5
    opened.close()
    assert sayso("workflow", "status", "PO-1", "--wait", *AT_ONCE).code == 0


@pytest.mark.parametrize("act", ["status", "suspend", "resume", "terminate", "retry", "purge"])
def test_an_unknown_case_or_workflow_is_an_error_and_nothing_is_asked_for(opened: World, sayso: Sayso, act: str) -> None:
    who = () if act == "status" else (*WHO, *AT_ONCE)
    unknown = sayso("workflow", act, "PO-9", *who)
    assert (unknown.code, "no case PO-9" in unknown.err) == (1, True)
    misspelt = sayso("workflow", act, "PO-1", "--workflow", "purchase_order", *who)
    assert (misspelt.code, 'did you mean "purchase_order_workflow"?' in misspelt.err) == (2, True)
    assert opened.rows(acts) == []


@pytest.mark.parametrize("act", ["suspend", "resume", "terminate", "retry", "purge"])
def test_nobody_acts_without_a_name_and_a_reason(opened: World, sayso: Sayso, act: str) -> None:
    assert sayso("workflow", act, "PO-1", "--reason", "asked by phone").code == 2
    assert sayso("workflow", act, "PO-1", "--as", "olga").code == 2
    blank = sayso("workflow", act, "PO-1", "--as", " ", "--reason", "asked by phone")
    assert (blank.code, "say who does it and why" in blank.err) == (2, True)
    assert opened.rows(acts) == []


def test_a_key_of_two_workflows_asks_which(opened: World, sayso: Sayso) -> None:
    order = {"order_id": "PO-1", "amount": 10, "product": "bolts", "quantity": 1, "currency": "EUR"}
    opened.send("orders", "com.acme.order.placed.v1", order)
    asked = sayso("workflow", "suspend", "PO-1", *WHO, *AT_ONCE)
    assert (asked.code, "several cases have the key PO-1" in asked.err) == (2, True)
    assert sayso("workflow", "suspend", "PO-1", "--workflow", "order_saga", *WHO, *AT_ONCE, "--json").json["done"] is True


@pytest.mark.usefixtures("dispatcher")
def test_a_case_is_suspended_and_resumed_and_the_engine_was_told(opened: World, sayso: Sayso) -> None:
    answer = sayso("workflow", "suspend", "PO-1", *WHO)
    assert (answer.code, answer.out) == (0, f"{opened.case.instance_id}: suspended; its deadline goes on\n")
    assert "the engine was told" in answer.err
    assert sayso("workflow", "status", "PO-1").out.startswith("SUSPENDED  ")
    resumed = sayso("workflow", "resume", "PO-1", *WHO, "--json")
    assert resumed.json == {
        "act": "resume",
        "done": True,
        "case": opened.case.instance_id,
        "reason": "resumed",
        "engine": "the engine was told",
    }
    assert sayso("workflow", "status", "PO-1").out.startswith("RUNNING  ")
    said = [(row.action, row.actor, json.loads(row.detail)["reason"]) for row in opened.rows(audit) if row.actor == "olga"]
    assert said == [("case-suspend-asked", "olga", "asked by phone"), ("case-resume-asked", "olga", "asked by phone")]


@pytest.mark.parametrize("act", ["suspend", "terminate"])
def test_without_a_stack_the_act_waits_in_the_ledger_and_that_is_an_exit_code(opened: World, sayso: Sayso, act: str) -> None:
    answer = sayso("workflow", act, "PO-1", *WHO, *AT_ONCE)
    assert (answer.code, "the engine was not told within the time" in answer.err) == (5, True)
    assert [(row.act, row.state) for row in opened.rows(acts)] == [(act, "asked")]


def test_what_the_phase_does_not_allow_is_refused_with_the_reason(opened: World, sayso: Sayso) -> None:
    def refused(act: str, *more: str) -> str:
        answer = sayso("workflow", act, "PO-1", *WHO, *AT_ONCE, *more)
        assert answer.code == 4
        return answer.err

    assert "it is not suspended" in refused("resume")
    assert "it is open" in refused("retry")
    assert "it is open; only what has ended is purged" in refused("purge")
    sayso("workflow", "suspend", "PO-1", *WHO, *AT_ONCE)
    assert "it is suspended already" in refused("suspend")
    opened.close("rejected")
    for act in ("suspend", "resume", "terminate"):
        assert "it has ended: rejected" in refused(act)
    assert "its workflow ended it by its own rules (rejected)" in refused("retry")
    answer = sayso("workflow", "retry", "PO-1", *WHO, *AT_ONCE, "--json")
    assert (answer.code, answer.json["done"], answer.json["engine"]) == (4, False, None)


def test_a_terminated_case_is_cancelled_and_says_so(opened: World, sayso: Sayso) -> None:
    sayso("workflow", "terminate", "PO-1", *WHO, *AT_ONCE)
    assert sayso("workflow", "status", "PO-1").out.startswith("TERMINATED  ")
    assert (opened.case.outcome, opened.case.reason) == ("cancelled", "terminated by olga: asked by phone")
    assert "cancelled" in sayso("case", "PO-1").out


def test_a_failed_case_is_retried_as_a_new_generation_once(opened: World, sayso: Sayso) -> None:
    failed = opened.case.instance_id
    fail(opened)
    again = sayso("workflow", "retry", "PO-1", *WHO, *AT_ONCE, "--json")
    assert (again.code, again.json["done"]) == (0, True)
    assert again.json["case"] != failed
    assert sayso("workflow", "status", "PO-1").out == f"PENDING  {again.json['case']}\n"
    assert sayso("workflow", "status", "PO-1", "--generation", "1").out == f"FAILED  {failed}\n"
    assert "it is open" in sayso("workflow", "retry", "PO-1", *WHO, *AT_ONCE).err
    assert "it has been followed by generation 2" in sayso("workflow", "retry", failed, *WHO, *AT_ONCE).err


@pytest.mark.usefixtures("dispatcher")
def test_what_has_ended_is_purged_by_key_by_generation_and_by_instance_and_the_ledger_keeps_it(opened: World, sayso: Sayso) -> None:
    instance_id = opened.case.instance_id
    opened.close()
    for meant in (("PO-1",), ("PO-1", "--generation", "1"), (instance_id,)):
        assert sayso("workflow", "purge", *meant, *WHO, "--json").json["engine"] == "the engine was told"
    assert sayso("workflow", "purge", "PO-1", "--generation", "2", *WHO).code == 1
    assert sayso("workflow", "status", "PO-1").out == f"COMPLETED  {instance_id}\n"
