"""Rebuilding: a ledger that was put back to an earlier state learns again from the engine, once, whatever it knows already."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from ledger_world import PAYMENT, World
from sqlalchemy import delete

from sayso.contracts.catalog import EVENT_TYPES
from sayso.contracts.workflow_io import Account, CaseInput, Closing, RaisedEvent, Refusal, StepInput, TaskDecision
from sayso.ledger.rebuilding import record_account
from sayso.ledger.schema import audit, case_keys, cases, events, notices, outbox, steps, tasks

APPROVE = TaskDecision(decision="approve", decided_by="bob")
TABLES = (events, cases, steps, tasks)


@pytest.fixture
def ended(world: World) -> World:
    """A case that was approved after a refusal, paid and closed."""
    world.buy(event_id="the-purchase")
    world.drive()
    world.decide(approver="alice")
    world.decide()
    world.pay()
    world.drive()
    return world


def account_of(world: World, *, paid: bool = True) -> Account:
    """What the engine would tell of it."""
    given = CaseInput.model_validate_json(world.case.input)
    at = given.case.opened_at
    raised = [
        RaisedEvent(seq=row.seq, identity=row.identity, name=row.event_name, received_at=at, data=json.loads(row.payload))
        for row in world.events[1:]
    ]
    closing = Closing.model_validate({"outcome": "completed", "result": "Approved by 'bob'"})
    done: list[tuple[StepInput, dict[str, Any]]] = [
        (StepInput(case=given.case, step="record_refusal", refused=[Refusal(seq=2, reason="alice is the requester")]), {}),
        (StepInput(case=given.case, step="place_order", used=[3], decision=APPROVE, stage="waits for payment"), {"status": "done"}),
        (StepInput(case=given.case, step="close_case", used=[4], closing=closing), {}),
    ]
    return Account(given=given, raised=raised, steps=done if paid else done[:2])


def forget_everything(world: World) -> None:
    """The backup is older than the case."""
    forget_everything_but_events(world)
    world.ledger.transact(lambda tx: tx.run(delete(events)))


def forget_everything_but_events(world: World) -> None:
    def wipe(tx: Any) -> None:
        for table in (audit, notices, outbox, tasks, steps, cases, case_keys):
            tx.run(delete(table))

    world.ledger.transact(wipe)


def record(world: World, account: Account) -> bool:
    return world.ledger.transact(partial(record_account, account=account, bindings=world.bindings))


def test_a_case_that_the_ledger_does_not_know_is_rebuilt_with_its_end(ended: World) -> None:
    account = account_of(ended)
    forget_everything(ended)
    assert record(ended, account)
    case = ended.case
    assert (case.phase, case.outcome, json.loads(case.result)) == ("closed", "completed", "Approved by 'bob'")
    assert CaseInput.model_validate_json(case.input) == account.given
    assert [
        (row.seq, row.state) for row in sorted(ended.events, key=lambda row: (row.state != "started", row.seq)) if row.event_name
    ] == [
        (2, "refused"),
        (3, "consumed"),
        (4, "consumed"),
    ]
    assert (ended.task.state, ended.task.decided_by) == ("decided", "bob")
    assert [row.event_id for row in ended.rows(outbox) if row.topic == "outcomes"] == [f"{case.instance_id}:closed"]


@pytest.mark.parametrize("paid", [True, False])
def test_what_a_rebuilt_case_asks_for_is_asked_once_more_under_the_same_ids(ended: World, paid: bool) -> None:
    """It may not have been published before the loss."""

    def asked() -> list[Any]:
        requests = [(row.event_id, json.loads(row.body)["data"]) for row in ended.rows(outbox) if row.topic == "approval-requests"]
        return [*requests, *((row.notice_id, row.title, row.body) for row in ended.rows(notices)), ended.task.due_at_ms]

    account, before = account_of(ended, paid=paid), asked()
    assert [len(ended.rows(outbox)) > 0, len(before)] == [True, 3]
    forget_everything(ended)
    assert record(ended, account)
    assert asked() == before


def test_a_case_that_still_runs_is_rebuilt_to_where_it_is_and_compared_at_once(ended: World) -> None:
    account = account_of(ended, paid=False)
    forget_everything(ended)
    assert record(ended, account)
    case = ended.case
    assert (case.phase, case.stage, case.opened_at_ms) == (
        "running",
        "waits for payment",
        int(account.given.case.opened_at.timestamp() * 1000),
    )
    assert case.check_at_ms <= case.updated_at_ms
    assert {row.event_name: row.state for row in ended.events if row.event_name == "payment_received"} == {
        "payment_received": "delivered"
    }


def test_recording_it_twice_changes_nothing(ended: World) -> None:
    account = account_of(ended)
    forget_everything(ended)
    record(ended, account)
    before = [ended.rows(table) for table in (*TABLES, outbox, audit)]
    assert record(ended, account)
    assert [ended.rows(table) for table in (*TABLES, outbox, audit)] == before


def test_what_comes_again_after_the_loss_is_a_repetition(ended: World) -> None:
    """The senders saw no acknowledgement lost, but may send again: nothing of it starts or wakes anything."""
    account = account_of(ended)
    originals = [(row.topic, bytes(row.original)) for row in ended.events]
    forget_everything(ended)
    record(ended, account)
    states = sorted(ended.states)
    for topic, original in originals:
        ended.receive(topic, original)
        ended.route()
    assert sorted(ended.states) == states
    assert [row.sightings for row in ended.events] == [2] * 4
    assert len(ended.rows(cases)) == 1


def test_an_event_that_waited_early_in_the_backup_is_the_one_that_was_raised(world: World) -> None:
    world.decide()
    (held,) = world.events
    world.buy()
    world.drive()
    given = CaseInput.model_validate_json(world.case.input)
    event = RaisedEvent(seq=held.seq, identity=held.identity, name="approval_received", received_at=given.case.opened_at, data={})
    step = StepInput(case=given.case, step="place_order", used=[held.seq], decision=APPROVE)
    account = Account(given=given, raised=[event], steps=[(step, {})])

    def put_back(tx: Any) -> None:
        for table in (audit, notices, outbox, tasks, steps, cases):
            tx.run(delete(table))
        tx.run(delete(events).where(events.c.seq != held.seq))
        tx.run(case_keys.update().values(generations=0))
        tx.run(events.update().values(state="held", instance_id=None))

    world.ledger.transact(put_back)
    assert record(world, account)
    (row,) = [row for row in world.events if row.seq == held.seq]
    assert (row.state, row.instance_id) == ("consumed", given.case.instance_id)


@pytest.mark.parametrize("state", ["unmatched", "expired", "rejected", "received"])
def test_an_event_that_had_failed_in_the_backup_and_was_used_afterwards_is_used(ended: World, state: str) -> None:
    """Left as failed it would be replayed, come too late, and be given back although it had paid."""
    account = account_of(ended)
    paid = ended.events[-1]

    def put_back(tx: Any) -> None:
        for table in (audit, notices, outbox, tasks, steps, cases):
            tx.run(delete(table))
        tx.run(delete(events).where(events.c.seq != paid.seq))
        tx.run(case_keys.update().values(generations=0))
        tx.run(events.update().values(state=state, reason="before the backup", instance_id=None, event_name=None, payload=None))

    ended.ledger.transact(put_back)
    assert record(ended, account)
    (row,) = [row for row in ended.events if row.identity == paid.identity]
    assert (row.state, row.event_name, row.instance_id) == ("consumed", "payment_received", ended.case.instance_id)
    ended.receive("payments", bytes(paid.original))
    assert ended.route() == []
    assert record(ended, account)
    assert [row.topic for row in ended.rows(outbox) if row.topic in ("payment-commands", "deadletters")] == ["deadletters"]


REFUND = "sayso.payment.refund-requested.v1"


@pytest.mark.parametrize("state", [None, "received", "unmatched"])
def test_a_payment_that_was_lost_and_found_in_the_engine_is_given_back_when_its_case_ends_without_it(
    ended: World, state: str | None
) -> None:
    """The backup is older than the payment (`None`), or has it from before it was routed."""
    account, paid = account_of(ended, paid=False), ended.events[-1]
    withdrawn = Closing.model_validate({"outcome": "withdrawn", "result": None})
    account.steps.append((StepInput(case=account.given.case, step="close_case", closing=withdrawn), {}))

    def put_back(tx: Any) -> None:
        tx.run(delete(events).where(events.c.seq != paid.seq) if state else delete(events))
        unbound = dict.fromkeys(("instance_id", "event_name", "payload", "on_late", "binding"))
        tx.run(events.update().values(state=state, reason="before the backup", **unbound))

    forget_everything_but_events(ended)
    ended.ledger.transact(put_back)
    assert record(ended, account)
    (row,) = [row for row in ended.events if row.event_name == "payment_received"]
    assert (row.state, row.answered_by) == ("unclaimed", f"late:{paid.identity}")
    (refund,) = [data for topic, data in ended.published if topic == "payment-commands"]
    assert EVENT_TYPES[REFUND].model.model_validate(refund)
    assert (refund["amount"], refund["answers"]["type"], refund["answers"]["source"]) == ("1200", PAYMENT, row.source)
    ended.receive("payments", bytes(paid.original))
    ended.route()
    assert record(ended, account)
    assert len([topic for topic, _ in ended.published if topic == "payment-commands"]) == 1


def test_numbers_that_others_have_by_now_are_not_taken_for_the_lost_ones(ended: World) -> None:
    account = account_of(ended, paid=False)
    forget_everything(ended)
    for _ in range(6):
        ended.receive("approvals", json.dumps({"no": len(ended.events)}).encode())
    strangers = {row.seq for row in ended.events}
    assert record(ended, account)
    assert {row.state for row in ended.events if row.seq in strangers} == {"received"}
    adopted = {(row.event_name, row.state) for row in ended.events if row.seq not in strangers}
    assert adopted >= {("approval_received", "refused"), ("approval_received", "consumed"), ("payment_received", "delivered")}


def test_a_pruned_case_does_not_come_back(ended: World) -> None:
    account = account_of(ended)
    forget_everything(ended)
    ended.ledger.transact(lambda tx: tx.run(case_keys.insert().values(workflow="purchase_order_workflow", key="PO-1", generations=1)))
    assert record(ended, account)
    assert ended.rows(cases) == []


def test_a_later_case_waits_until_the_earlier_one_is_known(ended: World) -> None:
    account = account_of(ended)
    later_ref = account.given.case.model_copy(update={"generation": 2, "instance_id": "later"})
    later = Account(given=account.given.model_copy(update={"case": later_ref, "opened_by": "0" * 64}))
    running = account_of(ended, paid=False)
    forget_everything(ended)
    assert record(ended, running)
    assert not record(ended, later)
    assert record(ended, account)
    assert record(ended, later)
    assert [(case.generation, case.phase) for case in sorted(ended.rows(cases), key=lambda case: case.generation)] == [
        (1, "closed"),
        (2, "running"),
    ]


def test_a_step_that_did_nothing_is_not_taken_for_done(ended: World) -> None:
    account = account_of(ended)
    skipped = [(step, {"skipped": "no such case in this ledger"}) for step, _ in account.steps]
    forget_everything(ended)
    assert record(ended, account.model_copy(update={"steps": skipped}))
    assert (ended.case.phase, ended.rows(steps)) == ("running", [])
