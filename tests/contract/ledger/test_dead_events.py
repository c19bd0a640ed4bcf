"""Second thoughts about dead events: what a replay does is what it foretold; what had its effect is never driven again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest
from ledger_world import BINDINGS, DECISION, PAYMENT, PURCHASE, World, cloudevent, purchase

from sayso.contracts.workflow_io import Refusal
from sayso.correlation.bindings import Action, Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.treatment import Treatment
from sayso.errors import ConfigurationError
from sayso.ledger import Ledger, dead
from sayso.ledger.dead import Answer, Judged, give_up, look_at_giving_up, look_at_replay
from sayso.ledger.queries.dead import DeadFilter, count_dead, dead_numbers, list_dead
from sayso.ledger.schema import audit, events

WITHOUT_PAYMENTS = Bindings(tuple(rule for rule in BINDINGS.rules if rule.topic != "payments"))
NOBODY = Bindings(())


def judged(world: World, seq: int = 1) -> Judged:
    row = next(row for row in world.events if row.seq == seq)
    return Judged(seq, row.digest, correlate(world.bindings, row.topic, bytes(row.original)))


def drive_again(world: World, seq: int = 1, actor: str = "alice") -> Answer:
    """Replay, as it was foretold; then routing."""
    seen = judged(world, seq)
    before = world.events
    foretold = world.ledger.read(partial(look_at_replay, judged=seen, settings=world.rules.settings))
    assert world.events == before
    answer = world.ledger.transact(partial(dead.replay, judged=seen, settings=world.rules.settings, actor=actor))
    assert answer == foretold
    states = world.route()
    assert (states == [answer.state]) is answer.done, (states, answer)
    return answer


def rest(world: World, seq: int = 1, actor: str = "alice") -> Answer:
    foretold = world.ledger.read(partial(look_at_giving_up, seq=seq))
    answer = world.ledger.transact(partial(give_up, seq=seq, actor=actor, comment="by phone"))
    assert answer == foretold
    return answer


def test_an_event_that_no_binding_took_is_driven_when_one_does(ledger: Ledger) -> None:
    world = World(ledger, WITHOUT_PAYMENTS)
    world.buy()
    assert world.pay() == "unmatched"
    world.bindings = BINDINGS
    assert drive_again(world, 2).state == "delivering"
    assert [event.seq for job in world.lease() for event in job.events] == [2]
    (entry,) = [row for row in world.rows(audit) if row.action == "event-replayed"]
    assert (entry.actor, entry.channel, entry.event_seq) == ("alice", "cli", 2)
    assert json.loads(entry.detail)["was"].startswith("unmatched: no binding for type")


@pytest.mark.parametrize("state", ["rejected", "unmatched", "refused", "late"])
def test_what_would_fail_in_the_same_way_stays_and_is_not_published_again(world: World, state: str) -> None:
    world.buy()
    if state == "late":
        world.close()
    became = {
        "rejected": lambda: world.buy("PO-2", cost="much"),
        "unmatched": lambda: world.send("purchases", "com.acme.unknown.v1", {}),
        "refused": lambda: world.buy("PO-1", cost=9),
        "late": world.decide,
    }[state]()
    assert became == state
    letters = len(world.dead_letters)
    answer = drive_again(world, 2)
    assert (answer.done, answer.state) == (False, state)
    assert answer.reason.startswith(f"it would be {state} again: ")
    assert (world.events[1].state, len(world.dead_letters)) == (state, letters)


def test_an_event_that_came_too_early_finds_the_case_that_came_after_its_time(world: World) -> None:
    world.decide()
    world.let_time_pass(timedelta(days=8))
    assert world.route() == ["expired"]
    world.buy()
    assert drive_again(world).state == "delivering"


def test_a_payment_whose_refund_was_asked_for_stays(world: World) -> None:
    world.pay()
    world.let_time_pass(timedelta(days=8))
    assert world.route() == ["expired"]
    world.buy()
    answer = drive_again(world)
    assert (answer.done, answer.reason.startswith("it came too late and was answered by late:")) == (False, True)
    assert rest(world).done, "a person may still say that it is done with"


def test_an_event_from_before_a_new_generation_stays_late(world: World) -> None:
    world.bindings = Bindings(
        tuple(
            replace(rule, treatment=replace(rule.treatment, restarts=rule.action is Action.START)) for rule in WITHOUT_PAYMENTS.rules
        )
    )
    world.buy()
    world.close("rejected")
    assert world.decide() == "late"
    world.buy()
    answer = drive_again(world, 2)
    assert (answer.done, "came before" in answer.reason) == (False, True)


def test_a_replayed_start_and_what_wakes_its_case_find_each_other(ledger: Ledger) -> None:
    world = World(ledger, NOBODY)
    assert (world.buy(), world.pay()) == ("unmatched", "unmatched")
    world.bindings = BINDINGS
    for seq in world.ledger.read(partial(dead_numbers, wanted=DeadFilter())):
        drive_again(world, seq)
    assert world.states == ["started", "delivering"]


def test_what_was_used_is_never_driven_again(world: World) -> None:
    world.buy()
    world.drive()
    world.decide()
    world.drive()
    world.step("place_order", {"reference": "r-1"}, used=[2])
    for seq in (1, 2):
        answer = drive_again(world, seq)
        assert (answer.done, "its effect has happened" in answer.reason) == (False, True)
        assert rest(world, seq).done is False
    assert world.states == ["started", "consumed"]


def test_an_event_whose_effect_happened_through_another_stays(ledger: Ledger) -> None:
    """The payment was unmatched; its sender sent it again as a new event, which paid the order and ended the case."""
    world = World(ledger, WITHOUT_PAYMENTS)
    world.buy()
    world.pay()
    world.bindings = BINDINGS
    world.pay(payment_id="sent-again")
    world.close(used=[3])
    assert drive_again(world, 2).state == "late"
    assert world.states == ["started", "late", "consumed"]


def test_what_repeats_another_event_stays(ledger: Ledger) -> None:
    """It was rejected; its sender sent it again, mended, under the same id."""
    world = World(ledger)
    world.buy("PO-1", "same", cost="much")
    world.receive("purchases", cloudevent(PURCHASE, purchase("PO-1"), "same"))
    world.route()
    assert world.states == ["rejected", "started"]
    seen = judged(world, 2)
    as_the_first = Judged(1, world.events[0].digest, seen.verdict)
    answer = world.ledger.transact(partial(dead.replay, judged=as_the_first, settings=world.rules.settings, actor="alice"))
    assert (answer.done, answer.reason.startswith("it is the same as event 2, which is started")) == (False, True)


def test_what_an_open_case_has_refused_stays_and_is_late_when_the_case_has_ended(world: World) -> None:
    world.buy()
    world.drive()
    world.decide(approver="alice")
    world.drive()
    world.step("record_refusal", refused=[Refusal(seq=2, reason="alice is the requester")])
    assert world.states == ["started", "refused"]
    answer = drive_again(world, 2)
    assert (answer.done, "has judged it" in answer.reason) == (False, True)
    world.close()
    assert drive_again(world, 2).state == "late"


def test_an_early_event_that_is_driven_again_while_a_second_case_is_open_belongs_to_that_one(world: World) -> None:
    world.decide("PO-2")
    world.let_time_pass(timedelta(days=8))
    world.route()
    world.buy("PO-1")
    world.buy("PO-2")
    answer = drive_again(world)
    assert answer.case == world.events[0].instance_id
    assert "PO-2" in str(answer.case)


def test_a_replay_is_done_once_however_often_it_is_asked_for(ledger: Ledger) -> None:
    world = World(ledger, WITHOUT_PAYMENTS)
    world.buy()
    world.pay()
    world.bindings = BINDINGS
    seen = judged(world, 2)
    ask = partial(dead.replay, judged=seen, settings=world.rules.settings, actor="alice")
    first, second = world.ledger.transact(ask), world.ledger.transact(ask)
    assert (first.done, second.done) == (True, False)
    assert second.reason.startswith("it is received: replayed by alice; was unmatched: ")
    world.route()
    assert world.ledger.transact(ask).reason.startswith("it is delivering: ")
    assert world.audit_actions.count("event-replayed") == 1


def test_bytes_that_a_resend_has_replaced_are_not_judged_by_the_old_ones(ledger: Ledger) -> None:
    world = World(ledger, WITHOUT_PAYMENTS)
    world.buy()
    world.pay()
    old = judged(world, 2)
    world.change(events, digest="0" * 64, topic=events.c.topic + events.c.digest)
    answer = world.ledger.transact(partial(dead.replay, judged=old, settings=world.rules.settings, actor="alice"))
    assert (answer.done, "in other bytes" in answer.reason) == (False, True)


def test_what_is_given_up_is_dead_for_good_and_says_who_and_why(world: World) -> None:
    world.decide("PO-1")
    world.let_time_pass(timedelta(days=8))
    world.route()
    assert rest(world).done
    (row,) = world.events
    assert row.state == "dead"
    assert row.reason.startswith("given up by alice: by phone; was expired: ")
    (entry,) = [row for row in world.rows(audit) if row.action == "event-given-up"]
    assert (entry.actor, json.loads(entry.detail)["comment"]) == ("alice", "by phone")
    assert drive_again(world).reason.startswith("it is dead: given up by alice")
    assert rest(world).done is False
    assert world.ledger.read(partial(count_dead, wanted=DeadFilter())) == {}
    assert world.ledger.read(partial(count_dead, wanted=DeadFilter(states=["dead"]))) == {"dead": 1}


def test_what_was_just_replayed_is_not_given_up(ledger: Ledger) -> None:
    world = World(ledger, NOBODY)
    world.buy()
    world.bindings = BINDINGS
    world.ledger.transact(partial(dead.replay, judged=judged(world), settings=world.rules.settings, actor="alice"))
    assert rest(world, actor="bob").reason.startswith("it is received: replayed by alice")
    assert world.route() == ["started"]


def test_two_operators_at_once_do_one_thing(ledger: Ledger, ledger_url: str) -> None:
    world = World(ledger, NOBODY)
    for number in range(20):
        world.buy(f"PO-{number}")
    world.bindings = BINDINGS
    other = Ledger(ledger_url)
    try:
        with ThreadPoolExecutor(2) as operators:
            for seq in range(1, 21):
                again = partial(dead.replay, judged=judged(world, seq), settings=world.rules.settings, actor="alice")
                first = operators.submit(ledger.transact, again)
                second = operators.submit(other.transact, partial(give_up, seq=seq, actor="bob", comment="no"))
                assert [first.result(30).done, second.result(30).done].count(True) == 1
    finally:
        other.close()
    entries = [row.event_seq for row in world.rows(audit) if row.action in ("event-replayed", "event-given-up")]
    assert sorted(entries) == list(range(1, 21))


@pytest.fixture
def mixed(world: World) -> World:
    """1 late, 2 … a started one, 3 unmatched, 4 rejected with a per cent sign in its reason."""
    world.buy("PO-1")
    world.close()
    world.decide("PO-1")
    world.send("payments", "com.acme.unknown%.v1", {})
    world.receive("purchases", b"not json")
    world.route()
    return world


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DeadFilter(), [2, 3, 4]),
        (DeadFilter(states=["late", "rejected"]), [2, 4]),
        (DeadFilter(type=DECISION), [2]),
        (DeadFilter(type=PAYMENT), []),
        (DeadFilter(topic="payments"), [3]),
        (DeadFilter(key="PO-1"), [2]),
        (DeadFilter(case="PO-1"), [2]),
        (DeadFilter(reason="NOT JSON"), [4]),
        (DeadFilter(reason="%"), [3]),
        (DeadFilter(since=datetime.now(UTC) - timedelta(hours=1)), [2, 3, 4]),
        (DeadFilter(until=datetime.now(UTC) - timedelta(hours=1)), []),
        (DeadFilter(numbers=[1, 3]), [3]),
        (DeadFilter(states=["dead"]), []),
    ],
)
def test_dead_events_are_found_by_what_they_share(mixed: World, wanted: DeadFilter, found: list[int]) -> None:
    assert mixed.ledger.read(partial(dead_numbers, wanted=wanted)) == found
    listed = [event.number for event in mixed.ledger.read(partial(list_dead, wanted=wanted, limit=10))]
    assert all(newer > older for newer, older in pairwise(listed))
    assert sorted(listed) == found
    assert sum(mixed.ledger.read(partial(count_dead, wanted=wanted)).values()) == len(found)


def test_a_state_of_events_that_did_not_fail_is_refused(mixed: World) -> None:
    with pytest.raises(ConfigurationError, match='no state "consumed" of events that failed'):
        mixed.ledger.read(partial(list_dead, wanted=DeadFilter(states=["consumed"]), limit=1))


def test_a_late_payment_is_replayed_when_its_binding_has_learned_what_to_do_with_it(ledger: Ledger) -> None:
    """It would be late again, but now it asks for its refund: once, and then it stays."""
    untold = [replace(rule, treatment=Treatment()) if rule.topic == "payments" else rule for rule in BINDINGS.rules]
    world = World(ledger, Bindings(tuple(untold)))
    world.buy()
    world.close()
    assert world.pay() == "late"
    assert drive_again(world, 2).done is False
    world.bindings = BINDINGS
    answer = drive_again(world, 2)
    assert (answer.done, answer.state, "answered with" in answer.reason) == (True, "late", True)
    assert [topic for topic, _ in world.published].count("payment-commands") == 1
    assert "was answered by late:" in drive_again(world, 2).reason
    assert [topic for topic, _ in world.published].count("payment-commands") == 1
