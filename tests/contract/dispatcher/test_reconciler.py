"""The reconciler: ledger and engine agree in the end, whatever the engine has lost, and nothing happens twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from office import Office
from sqlalchemy import Row

from sayso.engine import InstanceState, NoSuchInstanceError
from sayso.errors import TransientError
from sayso.ledger.schema import audit, cases, events, outbox, steps


def case_at(office: Office, stage: str) -> Row[Any]:
    """An order that waits for this stage."""
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    if stage == "payment":
        office.decide()
        office.wait_until(lambda: office.cases[0].stage == "waits for payment")
    return office.cases[0]


def lose(office: Office) -> None:
    """The engine's store is gone."""
    office.real_engine.forget(office.instance_id)


def is_back(office: Office) -> bool:
    return office.instance_id in office.real_engine.runs and office.cases[0].phase == "running"


@pytest.mark.parametrize("stage", ["approval", "payment"])
def test_a_lost_instance_is_started_again_and_the_case_goes_on_where_it_was(office: Office, stage: str) -> None:
    before = case_at(office, stage)
    lose(office)
    office.wait_until(lambda: is_back(office))
    alert = office.alert("case-restarted")
    assert alert["case"] == before.instance_id
    if stage == "approval":
        office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    case = office.cases[0]
    assert (case.instance_id, case.opened_at_ms, case.input) == (before.instance_id, before.opened_at_ms, before.input)
    assert office.states == ["started", "consumed", "consumed"]
    assert len(office.partners.effects) == 1
    assert len(office.broker.on("payment-commands")) == 1
    assert office.broker.on("deadletters") == []
    assert len(office.rows(steps)) == 2
    assert "case-restarted" in [row.action for row in office.rows(audit)]


def test_what_was_delivered_and_not_used_is_raised_again_in_order(office: Office) -> None:
    case = case_at(office, "approval")
    with office.real_engine.runs[case.instance_id].busy():
        office.decide(approver="alice")
        office.decide(approver="bob")
        office.pay()
        office.wait_until(lambda: office.states == ["started", "delivered", "delivered", "delivered"])
        lose(office)
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "refused", "consumed", "consumed"]
    assert len(office.partners.effects) == 1


def test_an_engine_that_does_not_answer_is_no_absence(office: Office) -> None:
    case_at(office, "approval")
    office.engine.fail_next("state", 1_000)
    asked = office.engine.calls.count("state")
    office.wait_until(lambda: office.engine.calls.count("state") > asked)
    assert (office.engine.calls.count("start"), office.cases[0].absent_since_ms) == (1, None)


def test_one_absence_is_not_believed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its store comes back the engine may not know what it knows."""
    case_at(office, "approval")
    real, blind = office.engine.state, [True]

    def state(instance_id: str) -> InstanceState | None:
        return None if blind else real(instance_id)

    monkeypatch.setattr(office.engine, "state", state)
    office.wait_until(lambda: office.cases[0].absent_since_ms is not None)
    blind.clear()
    office.wait_until(lambda: office.cases[0].absent_since_ms is None)
    assert office.engine.calls.count("start") == 1
    assert office.alerts("case-restarted") == []


def test_a_start_in_flight_is_not_started_a_second_time(office: Office) -> None:
    office.engine.fail_next("start", 20)
    office.open()
    office.buy()
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.alerts("case-restarted") == []


def test_an_event_that_the_history_does_not_have_is_raised_again_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    case_at(office, "approval")
    swallowed: list[str] = []
    real = office.engine.raise_event

    def raise_event(instance_id: str, name: str, payload: dict[str, Any]) -> None:
        swallowed.append(name)
        if len(swallowed) > 1:
            real(instance_id, name, payload)

    monkeypatch.setattr(office.engine, "raise_event", raise_event)
    office.decide()
    office.wait_until(lambda: office.cases[0].stage == "waits for payment")
    assert swallowed == ["approval_received"] * 2
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    assert "events-raised-again" in [row.action for row in office.rows(audit)]


def test_an_engine_put_back_to_before_a_decision_gets_the_decision_again(office: Office) -> None:
    """Its store was restored: the instance runs, and knows less than the ledger."""
    case = case_at(office, "payment")
    lose(office)
    office.real_engine.start(case.workflow, case.instance_id, json.loads(case.input))
    office.wait_until(lambda: "place_order" in office.real_engine.runs[case.instance_id].call_names)
    office.pay()
    office.wait_for_outcomes("completed")
    assert len(office.partners.effects) == 1
    assert office.alerts("case-restarted") == []


def test_a_stalled_case_is_said_once_and_shown(office: Office) -> None:
    case = case_at(office, "approval")
    office.real_engine.runs[case.instance_id].status = "STALLED"
    office.wait_until(lambda: office.cases[0].finding == "stalled in the engine")
    checked = office.cases[0].checked_at_ms
    office.wait_until(lambda: office.cases[0].checked_at_ms > checked)
    assert office.alert("case-stalled")
    office.real_engine.runs[case.instance_id].status = "RUNNING"
    office.wait_until(lambda: office.cases[0].finding is None)


def test_every_case_is_looked_at_when_one_was_lost(office: Office) -> None:
    """With the store all of them are gone, and none waits for its own turn."""
    office.open()
    for number in range(5):
        office.buy(f"PO-{number}")
    office.wait_until(lambda: [case.phase for case in office.cases] == ["running"] * 5)
    for case in office.cases:
        office.real_engine.forget(case.instance_id)
    for number in range(5):
        office.decide(f"PO-{number}")
        office.pay(f"PO-{number}")
    office.wait_for_outcomes(*["completed"] * 5)
    assert len(office.partners.effects) == 5


def test_a_raise_to_a_lost_instance_has_it_looked_at(office: Office) -> None:
    case_at(office, "approval")
    office.ledger.transact(lambda tx: tx.run(cases.update().values(check_at_ms=tx.now_ms + 10**9)))
    lose(office)
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    assert {row.state for row in office.rows(events)} == {"started", "consumed"}


def test_no_answer_to_a_raise_is_no_absence_either(office: Office) -> None:
    case_at(office, "approval")
    before = office.cases[0].check_at_ms
    assert issubclass(NoSuchInstanceError, TransientError)
    office.engine.fail_next("raise_event", 3)
    office.ledger.transact(lambda tx: tx.run(cases.update().values(check_at_ms=before + 10**9)))
    office.decide()
    office.wait_until(lambda: office.states == ["started", "consumed"])
    assert office.cases[0].check_at_ms == before + 10**9


def fail_in_the_engine(office: Office) -> None:
    run = office.real_engine.runs[office.instance_id]
    run.status, run.failure = "FAILED", "a bug"


def test_a_case_whose_workflow_failed_ends_as_failed_with_an_alert_and_its_events_unclaimed(office: Office) -> None:
    case = case_at(office, "payment")
    fail_in_the_engine(office)
    office.wait_for_outcomes("failed")
    assert office.cases[0].reason == "the workflow has ended in the engine (failed): a bug"
    assert office.states == ["started", "consumed"]
    alert = office.alert("case-failed")
    assert (alert["case"], alert["reason"]) == (case.instance_id, office.cases[0].reason)
    office.pay()
    office.wait_until(lambda: office.states == ["started", "consumed", "late"])


def test_what_a_failed_workflow_had_not_used_is_unclaimed(office: Office) -> None:
    case_at(office, "approval")
    office.real_engine.runs[office.instance_id].status = "FAILED"
    office.decide()
    office.wait_for_outcomes("failed")
    assert office.states == ["started", "unclaimed"]
    office.wait_until(lambda: office.broker.on("deadletters"))


def put_ledger_back(office: Office) -> None:
    """The ledger knows the case as it was before its end: open, its payment not used, nothing of its last step."""

    def change(tx: Any) -> None:
        tx.run(steps.delete().where(steps.c.step == "close_case"))
        tx.run(cases.update().values(phase="running", outcome=None, result=None, closed_at_ms=None, check_at_ms=0))
        tx.run(events.update().where(events.c.event_name == "payment_received").values(state="delivered"))
        tx.run(outbox.delete().where(outbox.c.topic == "outcomes"))

    office.ledger.transact(change)


def test_a_case_that_has_ended_in_the_engine_ends_in_the_ledger_as_its_workflow_ended_it(office: Office) -> None:
    case_at(office, "payment")
    office.pay()
    office.wait_for_outcomes("completed")
    before = office.cases[0]
    put_ledger_back(office)
    office.wait_until(lambda: office.outcomes == ["completed"])
    case = office.cases[0]
    assert (case.result, case.milestones, case.reason) == (before.result, before.milestones, before.reason)
    assert office.states == ["started", "consumed", "consumed"]
    office.wait_until(lambda: len(office.broker.on("outcomes")) == 2)
    first, second = office.broker.on("outcomes")
    assert first["id"] == second["id"]
    assert office.alerts("case-failed") == []
    assert "case-closed-by-engine" in [row.action for row in office.rows(audit)]


def test_a_decision_raised_past_the_ledger_is_kept_and_brings_a_lost_case_back_to_where_it_was(office: Office) -> None:
    case = case_at(office, "approval")
    office.real_engine.raise_event(case.instance_id, "approval_received", {"approved": True, "approver": "bob"})
    office.wait_until(lambda: office.cases[0].stage == "waits for payment")
    (row,) = [row for row in office.rows(events) if row.topic == "dapr-api"]
    assert (row.state, row.instance_id, row.event_name) == ("consumed", case.instance_id, "approval_received")
    lose(office)
    office.wait_until(lambda: is_back(office))
    office.pay()
    office.wait_for_outcomes("completed")
    assert [path for path, _ in office.partners.effects.values()] == ["/orders"]
    assert office.states == ["started", "consumed", "consumed"]
