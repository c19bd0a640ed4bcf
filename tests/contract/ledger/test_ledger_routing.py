"""Routing: each understood event takes its one place, with a reason; what cannot be used is a dead letter, once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from ledger_world import DECISION, PAYMENT, PAYMENT_FAILURE, PURCHASE, WITHDRAWAL, World, cloudevent, purchase
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from sayso.errors import MalformedError
from sayso.ledger import Ledger, routing
from sayso.ledger.schema import audit, cases, notices, outbox, tasks
from sayso.ledger.states import FAILED, TRANSITIONS, EventState, IllegalTransitionError, check_transition
from sayso.settings import Settings

AUTHORIZED = "com.acme.payment.authorized.v1"
EARLY = {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}


def test_a_case_is_opened_with_all_that_belongs_to_it_in_one_transaction(world: World) -> None:
    assert world.buy() == "started"
    case, (event,) = world.case, world.events
    assert (case.workflow, case.key, case.generation, case.phase) == ("purchase_order_workflow", "PO-1", 1, "starting")
    assert case.instance_id == f"purchase_order-PO-1-1-{world.rules.ledger_id}"
    assert (case.opened_by, case.stage, case.outcome) == (event.seq, "waits for approval", None)
    assert json.loads(case.input)["request"]["cost"] == "1200"
    assert (event.instance_id, event.reason, event.due_at_ms) == (case.instance_id, f"opened {case.instance_id}", None)
    assert (world.task.stage, world.task.assigned_to, world.task.state) == ("approval", "managers", "open")
    assert world.task.due_at_ms == case.opened_at_ms + 24 * 3_600_000
    ((topic, asked),) = world.published
    assert (topic, asked["case"], asked["requester"], asked["request"]["product"]) == (
        "approval-requests",
        case.instance_id,
        "alice",
        "bolts",
    )
    (notice,) = world.rows(notices)
    assert (notice.name, notice.recipient) == ("send_approval_request", "managers")
    assert "bolts (3) for 1200 EUR" in notice.title
    assert world.audit_actions == ["case-opened"]


def test_a_case_that_passes_by_itself_asks_nobody(world: World) -> None:
    assert world.buy(cost=999) == "started"
    assert (world.rows(tasks), world.published, world.rows(notices), world.case.stage) == ([], [], [], None)


def test_the_partial_unique_index_refuses_a_second_open_case(world: World) -> None:
    world.buy()
    first = dict(world.case._mapping)
    second = first | {"instance_id": "another", "generation": 2, "opened_by": None}
    with pytest.raises(IntegrityError):
        world.ledger.transact(lambda tx: tx.run(insert(cases), second))
    world.drive()
    world.close()
    world.ledger.transact(lambda tx: tx.run(insert(cases), second))
    with pytest.raises(IntegrityError):
        world.ledger.transact(lambda tx: tx.run(insert(cases), second | {"instance_id": "third", "generation": 3}))


def test_a_second_purchase_of_an_open_case_is_refused_as_an_event_of_its_own(world: World) -> None:
    world.buy()
    before = world.case
    assert world.buy(cost=5000) == "refused"
    assert world.case == before
    second = world.events[1]
    assert second.reason == f"the case for key 'PO-1' is open: {before.instance_id}"
    assert (second.instance_id, world.audit_actions) == (before.instance_id, ["case-opened", "event-refused"])


def test_a_purchase_after_the_end_is_refused_and_the_history_is_untouched(world: World) -> None:
    world.buy()
    world.drive()
    world.close("completed")
    before = (world.case, world.task, world.rows(audit))
    assert world.buy() == "refused"
    assert world.events[-1].reason == f"the case for key 'PO-1' has ended (completed): {before[0].instance_id}"
    assert (world.case, world.task, world.rows(audit)[:-1]) == before
    assert world.lease() == []


def test_a_decision_for_an_open_case_is_bound_to_it_and_due(world: World) -> None:
    world.buy()
    world.drive()
    assert world.case.due_at_ms is None
    assert world.decide() == "delivering"
    event = world.events[-1]
    assert (event.instance_id, event.event_name) == (world.case.instance_id, "approval_received")
    assert event.reason == f"for {world.case.instance_id} as approval_received"
    assert world.case.due_at_ms is not None


def test_early_events_are_held_and_bound_in_order_when_their_case_opens(world: World) -> None:
    for index in range(3):
        assert world.pay(amount=index + 1) == "held"
    assert world.decide() == "held"
    assert world.pay("PO-2") == "held"
    assert world.buy() == "started"
    assert world.states == ["delivering"] * 4 + ["held", "started"]
    assert "came early" in world.events[0].reason
    (job,) = world.lease()
    assert [event.seq for event in job.events] == [row.seq for row in world.events[:4]]
    assert [event.name for event in job.events] == ["payment_received"] * 3 + ["approval_received"]
    assert world.dead_letters == []


@pytest.mark.parametrize(("kind", "topic", "hold_days"), [(PAYMENT, "payments", 7), (DECISION, "approvals", 2)])
def test_an_early_event_expires_when_its_case_does_not_come(ledger: Ledger, kind: str, topic: str, hold_days: int) -> None:
    world = World(ledger, settings=Settings(early_hold=timedelta(days=2)))
    world.send(topic, kind, {"order_id": "PO-1", "amount": 1} if kind == PAYMENT else {"order_id": "PO-1", "approver": "bob"})
    world.let_time_pass(timedelta(days=hold_days) - timedelta(minutes=1))
    assert world.route() == []
    world.let_time_pass(timedelta(minutes=1))
    assert world.route() == ["expired"]
    (row,) = world.events
    assert row.reason == "no case purchase_order_workflow for key 'PO-1' was opened in time"
    assert [letter["state"] for letter in world.dead_letters] == ["expired"]
    assert world.buy() == "started"
    assert world.states == ["expired", "started"], "what has expired is not bound behind the sender's back"


def test_a_payment_after_the_end_is_late_with_its_reason_and_a_dead_letter(world: World) -> None:
    world.buy()
    world.drive()
    world.close("rejected")
    assert world.pay() == "late"
    row = world.events[-1]
    assert row.reason == f"{world.case.instance_id} has ended (rejected)"
    (letter,) = world.whole_dead_letters
    assert (letter["saysostate"], letter["saysocase"], letter["type"], letter["source"]) == (
        "late",
        world.case.instance_id,
        PAYMENT,
        "/shop",
    )
    assert world.audit_actions[-1] == "event-late"
    assert world.case.due_at_ms is None


def test_every_other_verdict_has_its_place_and_its_reason(world: World) -> None:
    sent = [
        ("payments", AUTHORIZED, {"order_id": "PO-1"}, "recorded", "kept, as payment-authorized says"),
        ("purchases", "com.acme.unknown.v1", {}, "unmatched", 'no binding for type "com.acme.unknown.v1" on topic "purchases"'),
        ("purchases", PURCHASE, {"cost": 1}, "rejected", "order_id"),
        ("purchases", PURCHASE, None, "rejected", "is no object, or is missing"),
        ("approvals", DECISION, {"key": "PO-1", "approver": "bob"}, "unmatched", "no `when`"),
        ("purchases", WITHDRAWAL, {"order_id": "PO-1", "requester": "alice"}, "held", "waits for the case"),
        ("payments", PAYMENT_FAILURE, {"order_id": "PO-1"}, "held", "waits for the case"),
    ]
    for topic, kind, data, state, reason in sent:
        assert world.send(topic, kind, data) == state
        assert reason in world.events[-1].reason
    letters = world.dead_letters
    assert [letter["state"] for letter in letters] == ["unmatched", "rejected", "rejected", "unmatched"]
    assert [letter["reason"] for letter in letters] == [row.reason for row in world.events if row.state in FAILED]


def test_a_rejected_event_does_not_burn_its_identity(world: World) -> None:
    assert world.send("purchases", PURCHASE, {"order_id": "PO-1"}, "one") == "rejected"
    assert world.send("purchases", PURCHASE, purchase(), "one") == "started"


def test_routing_the_same_row_again_does_nothing(world: World) -> None:
    world.buy()
    (row,) = world.events
    assert world.route_one(row.seq, row.topic, bytes(row.original)) is None
    assert world.route_one(999, "purchases", cloudevent(PURCHASE, purchase())) is None
    assert world.events == [row]


def test_every_failed_event_is_a_dead_letter_exactly_once(world: World) -> None:
    world.pay("PO-9")
    world.let_time_pass(timedelta(days=7))
    world.route()
    world.buy()
    world.buy()
    world.send("purchases", "com.acme.unknown.v1", {})
    world.receive("purchases", b"nonsense")
    world.route()
    world.drive()
    world.decide()
    world.close("rejected")
    world.pay()
    for _ in range(3):
        world.let_time_pass(timedelta(days=30))
        world.route()
    failed = [(row.state, row.reason) for row in world.events if row.state in FAILED]
    assert sorted(state for state, _ in failed) == ["expired", "late", "refused", "rejected", "unclaimed", "unmatched"]
    assert sorted((letter["state"], letter["reason"]) for letter in world.dead_letters) == sorted(failed)
    assert sorted(world.audit_actions) == sorted(["case-opened", "case-closed", *[f"event-{state}" for state, _ in failed]])


def test_early_decisions_for_two_keys_do_not_meet(world: World) -> None:
    for key in ("po-1", "PO-1", "PO 1", "PO-1 ", "PO\u20111"):
        assert world.decide(key) == "held"
    world.buy("PO-1")
    assert [row.state for row in world.events] == ["held", "delivering", "held", "held", "held", "started"]


def test_a_key_of_500_wide_characters_opens_its_case(world: World) -> None:
    key = "\U0001f600" * 500
    assert world.decide(key) == "held"
    assert world.buy(key) == "started"
    assert len(world.case.instance_id) <= 64
    assert world.case.key == key
    assert world.states == ["delivering", "started"]


def test_the_state_machine_allows_only_what_its_table_says() -> None:
    for before in EventState:
        for after in EventState:
            if after in TRANSITIONS[before]:
                check_transition(before, after)
            else:
                with pytest.raises(IllegalTransitionError):
                    check_transition(before, after)
    assert all(TRANSITIONS[state] == {EventState.DEAD, EventState.RECEIVED} for state in FAILED)


def test_the_settings_of_today_are_the_plan_of_a_case_for_good(ledger: Ledger) -> None:
    World(ledger, settings=Settings(purchase={"approval_timeout": "PT1H", "auto_approve_below": 5})).buy()
    later = World(ledger, settings=Settings(purchase={"approval_timeout": "PT9H"}))
    plan = json.loads(later.case.input)["plan"]
    assert (plan["approval_timeout_seconds"], plan["auto_approve_below"]) == (3600, "5")
    assert later.task.due_at_ms == later.case.opened_at_ms + 3_600_000


def test_the_outbox_takes_the_same_event_id_once(world: World) -> None:
    world.buy()
    (row,) = world.rows(outbox)
    again = {key: value for key, value in row._mapping.items() if key != "seq"}
    with pytest.raises(IntegrityError):
        world.ledger.transact(lambda tx: tx.run(insert(outbox), again))


def test_a_request_that_no_policy_has_an_answer_for_is_rejected_with_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_an_answer(*_: object) -> str:
        raise MalformedError('rule "large": `int(request.product) > 3`')

    monkeypatch.setattr(routing, "open_case", without_an_answer)
    assert world.buy() == "rejected"
    assert world.events[0].reason == 'rule "large": `int(request.product) > 3`'
    assert world.rows(cases) == []
    assert len(world.dead_letters) == 1
