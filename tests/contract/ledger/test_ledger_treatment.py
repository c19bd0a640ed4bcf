"""Treatment: early, late and repeated events, and requests after the end, as their bindings say; an answer goes out once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ledger_world import PAYMENT, PAYMENT_FAILURE, PROJECT, PURCHASE, World, cloudevent, purchase
from sqlalchemy import Row, update

from sayso.contracts.catalog import EVENT_TYPES
from sayso.correlation.bindings import load_bindings
from sayso.ledger import Ledger
from sayso.ledger.event_rows import answered, drive_again
from sayso.ledger.routing import due_events, expire
from sayso.ledger.schema import cases, events, outbox
from sayso.ledger.states import EventState, IllegalTransitionError

REFUND = "sayso.payment.refund-requested.v1"
FAILED_PAYMENT = "resume: purchase_order_workflow.payment_failed\n    "
PAID = {"order_id": "PO-1", "payment_id": "p-1", "amount": "1200.00", "currency": "EUR"}
AFTER_THE_HOLD = timedelta(days=7)


def refunds(world: World) -> list[dict[str, Any]]:
    """The whole events."""
    return [json.loads(row.body) for row in world.rows(outbox) if row.type == REFUND]


def row_of(world: World, event_id: str) -> Row[Any]:
    (row,) = [row for row in world.events if row.event_id == event_id]
    return row


def pay(world: World, event_id: str = "pay", **more: Any) -> None:
    """The payment comes and is routed until it rests."""
    world.receive("payments", cloudevent(PAYMENT, PAID, event_id, **more))
    world.route()
    world.route()


def end_a_case(world: World) -> None:
    world.buy()
    world.drive()
    world.close("rejected")


def come_late(world: World) -> None:
    end_a_case(world)
    pay(world)


def stay_unclaimed(world: World) -> None:
    world.buy()
    pay(world)
    world.drive()
    world.close("rejected")


def expire_early(world: World) -> None:
    pay(world)
    world.let_time_pass(AFTER_THE_HOLD)
    world.route()


TOO_LATE: dict[str, Callable[[World], None]] = {"late": come_late, "unclaimed": stay_unclaimed, "expired": expire_early}


@pytest.mark.parametrize("state", TOO_LATE)
def test_a_captured_payment_that_no_case_used_asks_for_its_refund(world: World, state: str) -> None:
    TOO_LATE[state](world)
    row = row_of(world, "pay")
    assert row.state == state
    (refund,) = refunds(world)
    case = None if state == "expired" else world.case.instance_id
    assert refund["data"] == {
        **PAID,
        "workflow": None,
        "case": case,
        "idempotency_key": f"late:{row.identity}",
        "answers": {"source": "/shop", "id": "pay", "type": PAYMENT, "state": state, "reason": row.reason},
    }
    EVENT_TYPES[REFUND].model.model_validate(refund["data"])
    (sent,) = [row for row in world.rows(outbox) if row.type == REFUND]
    assert (sent.topic, sent.partition_key, sent.event_id) == ("payment-commands", "PO-1", row.answered_by)
    assert [letter["state"] for letter in world.dead_letters] == [state], "it is a dead letter all the same"


@pytest.mark.parametrize("state", TOO_LATE)
def test_a_refund_is_asked_for_once_however_often_the_payment_comes_again(world: World, state: str) -> None:
    TOO_LATE[state](world)
    for repetition in range(3):
        pay(world)
        pay(world, traceid=f"other bytes {repetition}")
        world.let_time_pass(AFTER_THE_HOLD)
        world.route()
    row = row_of(world, "pay")
    assert (row.state, row.sightings) == (state, 7)
    assert len(refunds(world)) == 1
    assert len(world.dead_letters) == 1


def test_a_payment_whose_refund_was_asked_for_is_not_used_by_a_case_that_comes_after_all(world: World) -> None:
    expire_early(world)
    world.buy()
    pay(world)
    pay(world, traceid="other bytes")
    assert row_of(world, "pay").state == "expired"
    assert [job.events for job in world.lease()] == [()]


@pytest.mark.parametrize("state", TOO_LATE)
def test_not_even_a_replay_drives_what_has_been_answered(world: World, state: str) -> None:
    TOO_LATE[state](world)
    row = row_of(world, "pay")
    assert answered(row) == f"it came too late and was answered by late:{row.identity}"
    with pytest.raises(IllegalTransitionError, match="must not be used any more"):
        world.ledger.transact(partial(drive_again, row=row, reason="replayed"))
    assert row_of(world, "pay") == row


def test_an_answer_whose_row_was_restored_from_before_it_has_the_same_id(world: World) -> None:
    """A backup may know the payment and not the refund: the payment system recognises the second command by its id."""
    come_late(world)
    first = refunds(world)[0]
    world.ledger.transact(lambda tx: tx.run(update(events).values(answered_by=None)))
    again = partial(drive_again, row=row_of(world, "pay"), reason="replayed")
    world.ledger.transact(again)
    world.route()
    assert [refund["id"] for refund in refunds(world)] == [first["id"]]


def test_a_payment_that_its_case_used_or_refused_asks_for_nothing(world: World) -> None:
    world.buy()
    pay(world, "used")
    pay(world, "wrong amount")
    world.drive()
    used, refused = (row_of(world, name).seq for name in ("used", "wrong amount"))
    world.close("completed", used=[used], refused=[{"seq": refused, "reason": "paid too little"}])
    for event_id, state in (("used", "consumed"), ("wrong amount", "refused")):
        pay(world, event_id)
        pay(world, event_id, traceid="other bytes")
        row = row_of(world, event_id)
        assert (row.state, row.sightings, row.answered_by) == (state, 3, None)
    assert refunds(world) == []


def test_an_event_without_on_late_is_only_a_dead_letter_and_may_be_sent_again(world: World) -> None:
    failure = cloudevent(PAYMENT_FAILURE, {"order_id": "PO-1"}, "failed")
    world.receive("payments", failure)
    world.route()
    world.let_time_pass(AFTER_THE_HOLD)
    assert world.route() == ["expired"]
    world.buy()
    world.receive("payments", failure)
    assert world.route() == ["delivering"]
    assert refunds(world) == []


def test_a_resend_is_new_work_and_not_an_old_failure(world: World) -> None:
    """A row whose routing has failed before does not hold up deadlines; one that is sent again must."""
    world.send("payments", PAYMENT_FAILURE, {"order_id": "PO-1"}, "failed")
    world.let_time_pass(AFTER_THE_HOLD)
    world.route()
    world.change(events, attempts=3)
    world.receive("payments", cloudevent(PAYMENT_FAILURE, {"order_id": "PO-1"}, "failed"))
    (row,) = world.events
    assert (row.state, row.attempts) == ("received", 0)


# What other bindings say.


def with_bindings(ledger: Ledger, folder: Path, *changes: tuple[str, str]) -> World:
    """The shipped bindings, with these lines changed."""
    text = (PROJECT / "config" / "bindings.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "bindings.yaml"
    file.write_text(text, encoding="utf-8")
    return World(ledger, load_bindings(file))


def test_an_early_event_that_may_not_wait_is_expired_at_once_and_answered(ledger: Ledger, tmp_path: Path) -> None:
    world = with_bindings(ledger, tmp_path, ("early: hold P7D\n    on_late", "early: dead-letter\n    on_late"))
    pay(world)
    row = row_of(world, "pay")
    assert (row.state, row.due_at_ms) == ("expired", None)
    assert row.reason == "came before the case purchase_order_workflow with key 'PO-1', and payment-captured does not let it wait"
    assert [letter["state"] for letter in world.dead_letters] == ["expired"]
    assert len(refunds(world)) == 1
    world.buy()
    pay(world, "second")
    assert row_of(world, "second").state == "delivering"


def test_an_early_event_that_may_not_wait_is_driven_by_a_resend(ledger: Ledger, tmp_path: Path) -> None:
    lines = (f"{FAILED_PAYMENT}early: hold P7D", f"{FAILED_PAYMENT}early: dead-letter")
    world = with_bindings(ledger, tmp_path, lines)
    failure = cloudevent(PAYMENT_FAILURE, {"order_id": "PO-1"}, "failed")
    world.receive("payments", failure)
    assert world.route() == ["expired"]
    world.receive("payments", failure)
    assert world.route() == ["expired"]
    assert len(world.dead_letters) == 2, "it came to rest there twice"
    world.buy()
    world.receive("payments", failure)
    assert world.route() == ["delivering"]


NEW_GENERATION = ("start: purchase_order_workflow", "start: purchase_order_workflow\n    on_restart: new_generation")


def restarting(ledger: Ledger, folder: Path) -> World:
    return with_bindings(ledger, folder, NEW_GENERATION)


def generations(world: World) -> list[tuple[int, str]]:
    return [(row.generation, row.phase) for row in sorted(world.rows(cases), key=lambda row: row.generation)]


def test_a_new_request_after_the_end_opens_a_new_generation_where_its_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    world = restarting(ledger, tmp_path)
    assert world.buy(event_id="one") == "started"
    assert world.buy(event_id="two") == "refused", "the first is open"
    world.drive()
    world.close("rejected")
    assert world.buy(event_id="three") == "started"
    assert generations(world) == [(1, "closed"), (2, "starting")]
    first, second = (row.instance_id for row in world.rows(cases))
    assert first != second
    (job,) = world.lease()
    assert (job.instance_id, job.start) == (second, True)


def test_a_repetition_of_any_request_opens_nothing(ledger: Ledger, tmp_path: Path) -> None:
    world = restarting(ledger, tmp_path)
    world.buy(event_id="one")
    world.buy(event_id="two")
    world.drive()
    world.close("rejected")
    for repetition in range(3):
        for event_id in ("one", "two"):
            world.receive("purchases", cloudevent(PURCHASE, purchase(), event_id))
            world.receive("purchases", cloudevent(PURCHASE, purchase(), event_id, traceid=f"other bytes {repetition}"))
            world.route()
    assert generations(world) == [(1, "closed")]
    assert {(row.event_id, row.state, row.sightings) for row in world.events} == {("one", "started", 7), ("two", "refused", 7)}


def test_a_decision_from_before_the_new_request_does_not_decide_it(ledger: Ledger, tmp_path: Path) -> None:
    """It was in the ledger in time for the first case, but was routed only after the second had been opened."""
    world = restarting(ledger, tmp_path)
    world.buy()
    world.drive()
    old = cloudevent("sayso.approval.decided.v1", {"order_id": "PO-1", "approved": True, "approver": "bob"}, "old")
    world.receive("approvals", old)
    first = world.ref
    world.close("timed_out")
    world.receive("purchases", cloudevent(PURCHASE, purchase(cost=99_999), "again"))
    behind, again = world.ledger.read(partial(due_events, limit=10))
    world.route_one(again.seq, again.topic, again.original)
    assert world.route_one(behind.seq, behind.topic, behind.original) == "late"
    row = row_of(world, "old")
    assert (row.instance_id, "came before" in row.reason) == (first.instance_id, True)
    assert world.decide() == "delivering"


def test_an_alarm_of_a_repetition_is_raised_once_where_the_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    world = with_bindings(
        ledger, tmp_path, ("start: purchase_order_workflow", "start: purchase_order_workflow\n    on_duplicate: alarm")
    )
    world.buy(event_id="one")
    world.buy("PO-2", event_id="two")
    pay(world)
    pay(world)
    assert alerts(world) == []
    for repetition in range(3):
        world.receive("purchases", cloudevent(PURCHASE, purchase(), "one"))
        world.receive("purchases", cloudevent(PURCHASE, purchase(), "one", traceid=f"other bytes {repetition}"))
        world.route()
    (raised,) = alerts(world)
    assert (raised["kind"], raised["detail"]) == ("repeated-event", {"type": PURCHASE, "source": "/shop", "id": "one"})
    EVENT_TYPES["sayso.alert.raised.v1"].model.model_validate(raised)


def test_a_repetition_before_the_first_was_routed_is_alarming_too(ledger: Ledger, tmp_path: Path) -> None:
    world = with_bindings(
        ledger, tmp_path, ("start: purchase_order_workflow", "start: purchase_order_workflow\n    on_duplicate: alarm")
    )
    for _ in range(3):
        world.receive("purchases", cloudevent(PURCHASE, purchase(), "one"))
    assert alerts(world) == []
    world.route()
    assert [raised["kind"] for raised in alerts(world)] == ["repeated-event"]


def alerts(world: World) -> list[dict[str, Any]]:
    return [data for topic, data in world.published if topic == "alerts"]


# Signal with start: one event opens the case, or wakes it.

PREPAID = "com.acme.order.prepaid.v1"
START_OR_RESUME = f"""
  - name: order-prepaid
    topic: prepaid
    type: {PREPAID}
    key: event.data.order_id
    start_or_resume: purchase_order_workflow.payment_received

  # Kept and shown"""


def prepaid(world: World, event_id: str, **more: Any) -> EventState | None:
    return world.send("prepaid", PREPAID, {**purchase(), **PAID, **more}, event_id)


def test_an_event_that_may_do_both_opens_its_case_and_wakes_it(ledger: Ledger, tmp_path: Path) -> None:
    world = with_bindings(ledger, tmp_path, ("\n  # Kept and shown", START_OR_RESUME))
    world.decide()
    assert prepaid(world, "one") == "delivering"
    assert (world.case.opened_by, json.loads(world.case.input)["request"]["cost"]) == (2, "1200")
    (job,) = world.lease()
    assert (job.start, [event.name for event in job.events]) == (True, ["approval_received", "payment_received"])
    assert job.events[1].data["amount"] == "1200.00"
    assert prepaid(world, "two") == "delivering", "the case is open: it is woken"
    assert len(world.rows(cases)) == 1


def test_an_event_that_may_do_both_is_late_after_the_end_and_its_repetition_opens_nothing(ledger: Ledger, tmp_path: Path) -> None:
    answered_too = START_OR_RESUME.replace("payment_received", f"payment_received\n    on_late: publish {REFUND} to payment-commands")
    world = with_bindings(ledger, tmp_path, ("\n  # Kept and shown", answered_too))
    prepaid(world, "one")
    world.drive()
    world.close("rejected")
    assert row_of(world, "one").state == "unclaimed"
    assert prepaid(world, "two") == "late"
    assert len(refunds(world)) == 2
    world.receive("prepaid", cloudevent(PREPAID, {**purchase(), **PAID}, "one"))
    world.receive("prepaid", cloudevent(PREPAID, {**purchase(), **PAID}, "one", traceid="other bytes"))
    world.route()
    assert (len(world.rows(cases)), len(refunds(world))) == (1, 2)


def test_an_event_that_may_do_both_opens_a_new_generation_where_its_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    again = START_OR_RESUME.replace("payment_received", "payment_received\n    on_restart: new_generation")
    world = with_bindings(ledger, tmp_path, ("\n  # Kept and shown", again))
    prepaid(world, "one")
    world.drive()
    world.close("completed", used=[1])
    assert prepaid(world, "two") == "delivering"
    assert generations(world) == [(1, "closed"), (2, "starting")]


@pytest.mark.parametrize("missing", ["cost", "amount"])
def test_an_event_that_may_do_both_must_carry_both(ledger: Ledger, tmp_path: Path, missing: str) -> None:
    world = with_bindings(ledger, tmp_path, ("\n  # Kept and shown", START_OR_RESUME))
    data = {name: value for name, value in {**purchase(), **PAID}.items() if name != missing}
    assert world.send("prepaid", PREPAID, data) == "rejected"
    assert f"`{missing}`" in world.events[0].reason


# A hold that ends in the moment in which the case opens.


def test_whoever_is_first_when_a_hold_ends_decides_and_nothing_happens_twice(world: World) -> None:
    pay(world)
    world.let_time_pass(AFTER_THE_HOLD)
    (due,) = world.ledger.read(partial(due_events, limit=10))
    world.receive("purchases", cloudevent(PURCHASE, purchase()))
    newest = world.events[-1]
    world.route_one(newest.seq, newest.topic, bytes(newest.original))
    assert row_of(world, "pay").state == "delivering", "the case was first"
    assert world.ledger.transact(partial(expire, seq=due.seq)) is None
    assert refunds(world) == []


def test_a_stale_look_at_a_held_event_does_not_end_its_new_hold(world: World) -> None:
    """Another dispatcher saw it due; meanwhile it expired, was sent again and is held anew."""
    failure = cloudevent(PAYMENT_FAILURE, {"order_id": "PO-1"}, "failed")
    world.receive("payments", failure)
    world.route()
    world.let_time_pass(AFTER_THE_HOLD)
    (due,) = world.ledger.read(partial(due_events, limit=10))
    assert world.route() == ["expired"]
    world.receive("payments", failure)
    assert world.route() == ["held"]
    assert world.ledger.transact(partial(expire, seq=due.seq)) is None
    assert row_of(world, "failed").state == "held"
