"""What was pruned and comes again is known: repetitions, contradictions, restarts, late events, also while it is being pruned."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attic import FAR, Attic
from ledger_world import DECISION, PAYMENT, PROJECT, PURCHASE, World, cloudevent, purchase
from sqlalchemy import text

from sayso.correlation.bindings import load_bindings
from sayso.correlation.correlate import correlate
from sayso.ledger import Ledger, Transaction
from sayso.ledger.pruning import Pruned, ended_cases, prune_cases
from sayso.ledger.queries.outlook import outlook
from sayso.ledger.schema import (
    case_keys,
    cases,
    outbox,
    tombstones,
)
from sayso.ledger.states import EventState


@pytest.fixture
def world(ledger: Ledger) -> Attic:
    return Attic(ledger)


@pytest.mark.parametrize("topic", ["purchases", "approvals", "payments"])
@pytest.mark.parametrize("other_bytes", [False, True])
def test_a_pruned_event_that_comes_again_is_a_repetition(world: Attic, topic: str, other_bytes: bool) -> None:
    """Case 25."""
    sent = world.finish()
    world.prune()
    body = sent[topic] + b" " if other_bytes else sent[topic]
    for _ in range(3):
        world.receive(topic, body)
    assert world.route() == [None]
    assert world.events == []
    assert sorted(row.sightings for row in world.rows(tombstones)) == [1, 1, 4]
    assert world.rows(cases) == []


@pytest.mark.parametrize("key", ["PO-1", "PO-2"])
def test_a_pruned_identity_with_other_content_is_a_conflict(world: Attic, key: str) -> None:
    world.finish()
    world.prune()
    assert world.buy(key, event_id="PO-1-asked", cost=1) == EventState.CONFLICT
    (row,) = world.events
    assert "pruned" in row.reason
    assert [topic for topic, _ in world.published] == ["deadletters"]
    assert world.rows(cases) == []


def test_a_pruned_key_is_not_started_again(world: Attic) -> None:
    """Case 25, 26."""
    world.finish()
    world.prune()
    assert world.buy() == EventState.REFUSED
    (row,) = world.events
    assert row.reason == f"the case for key 'PO-1' has ended (pruned): purchase_order-PO-1-1-{world.rules.ledger_id}"
    assert world.rows(cases) == []
    assert [row.generations for row in world.rows(case_keys)] == [1]
    assert world.buy("PO-2") == EventState.STARTED


def test_an_event_for_a_pruned_case_is_late_and_never_swallowed(world: Attic) -> None:
    """Case 25."""
    world.finish()
    world.prune()
    assert world.pay() == EventState.LATE
    assert world.decide() == EventState.LATE
    assert {row.instance_id for row in world.events} == {f"purchase_order-PO-1-1-{world.rules.ledger_id}"}
    assert [topic for topic, _ in world.published].count("deadletters") == 2


def test_a_captured_payment_for_a_pruned_case_asks_for_its_refund_once(world: Attic) -> None:
    world.finish()
    world.prune()
    body = cloudevent(PAYMENT, {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}, "second")
    for _ in range(2):
        world.receive("payments", body)
        world.route()
    world.deliver_everything()
    assert [topic for topic, _ in world.published] == ["payment-commands", "deadletters"]
    assert world.prune().events == 1
    world.receive("payments", body)
    assert world.route() == [None]
    assert world.published == []


def changed_world(ledger: Ledger, folder: Path, line: str, added: str) -> Attic:
    text = (PROJECT / "config" / "bindings.yaml").read_text(encoding="utf-8")
    assert line in text
    (folder / "bindings.yaml").write_text(text.replace(line, f"{line}\n    {added}"), encoding="utf-8")
    return Attic(ledger, load_bindings(folder / "bindings.yaml"))


def test_a_pruned_key_is_started_again_where_its_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    world = changed_world(ledger, tmp_path, "start: purchase_order_workflow", "on_restart: new_generation")
    sent = world.finish()
    world.prune()
    world.receive("purchases", sent["purchases"])
    assert world.route() == [None]
    assert world.buy() == EventState.STARTED
    assert (world.case.generation, world.case.phase) == (2, "starting")
    assert world.decide() == EventState.DELIVERING


def test_a_repetition_of_a_pruned_event_is_alarming_where_its_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    world = changed_world(ledger, tmp_path, "resume: purchase_order_workflow.payment_received", "on_duplicate: alarm")
    sent = world.finish()
    world.prune()
    for _ in range(2):
        world.receive("payments", sent["payments"])
        assert world.route() == [None]
    assert [data["kind"] for topic, data in world.published if topic == "alerts"] == ["repeated-event"]


def test_what_came_late_for_a_pruned_case_goes_when_it_is_old_too(world: Attic) -> None:
    world.finish()
    world.prune()
    world.pay()
    world.deliver_everything()
    assert world.prune(before_ms=world.events[0].updated_at_ms) == Pruned()
    gone = world.prune()
    assert (gone.cases, gone.events, gone.tombstones) == (0, 1, 1)
    assert world.rows(outbox) == []


def test_a_step_of_a_pruned_case_does_nothing(world: Attic) -> None:
    world.finish()
    ref = world.ref
    world.prune()
    before = world.count()
    assert world.close(ref=ref) == {"skipped": "the case has ended"}
    assert world.step("place_order", ref=ref) == {"skipped": "the case has ended"}
    assert world.count() == before


@pytest.mark.parametrize(
    ("topic", "kind", "key", "event_id", "state"),
    [
        ("purchases", PURCHASE, "PO-1", "PO-1-asked", "sighting"),
        ("purchases", PURCHASE, "PO-2", "PO-1-asked", "conflict"),
        ("purchases", PURCHASE, "PO-1", "new", "refused"),
        ("purchases", PURCHASE, "PO-2", "new", "started"),
        ("approvals", DECISION, "PO-1", "new", "late"),
    ],
)
def test_what_is_foretold_after_a_prune_is_what_happens(
    world: Attic, topic: str, kind: str, key: str, event_id: str, state: str
) -> None:
    world.finish()
    world.prune()
    data = purchase(key) if kind == PURCHASE else {"order_id": key, "approved": True, "approver": "bob"}
    body = cloudevent(kind, data, event_id)
    verdict = correlate(world.bindings, topic, body)
    foretold = world.ledger.read(partial(outlook, topic=topic, original=body, verdict=verdict, settings=world.rules.settings))
    world.receive(topic, body)
    (happened,) = world.route()
    assert foretold.state == state
    assert happened == (None if state == "sighting" else state)
    if happened is not None:
        (row,) = world.events
        assert row.reason == foretold.reason or state == "started"


def waits_for_a_lock(ledger: Ledger) -> bool:
    """On PostgreSQL: somebody waits. SQLite keeps the others out from the beginning of a transaction to its end."""
    query = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    with ledger.engine.connect() as connection:
        return ledger.dialect == "sqlite" or connection.execute(query).first() is not None


@pytest.mark.parametrize(("topic", "expected"), [("purchases", None), ("payments", None)])
def test_a_repetition_that_is_routed_while_its_original_is_pruned_is_seen(world: Attic, topic: str, expected: Any) -> None:
    sent = world.finish()
    body = sent[topic] + b" "
    world.receive(topic, body)
    (again,) = [row for row in world.events if row.state == "received"]
    chosen = world.ledger.read(partial(ended_cases, before_ms=FAR, limit=10))
    other = World(Ledger(world.ledger.url))
    answers: list[Any] = []
    routing = threading.Thread(target=lambda: answers.append(other.route_one(again.seq, topic, body)))

    def prune_slowly(tx: Transaction) -> Pruned:
        pruned = prune_cases(tx, chosen, FAR, actor="alice")
        routing.start()
        deadline = time.monotonic() + 60
        while not waits_for_a_lock(world.ledger):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return pruned

    assert world.ledger.transact(prune_slowly).cases == 1
    routing.join(60)
    other.ledger.close()
    assert answers == [expected]
    assert world.events == []
    assert sorted(row.sightings for row in world.rows(tombstones)) == [1, 1, 2]


def test_a_late_payment_that_is_routed_while_its_case_is_pruned_is_late(world: Attic) -> None:
    world.finish()
    body = cloudevent(PAYMENT, {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}, "second")
    world.receive("payments", body)
    (late,) = [row for row in world.events if row.state == "received"]
    chosen = world.ledger.read(partial(ended_cases, before_ms=FAR, limit=10))
    other = World(Ledger(world.ledger.url))
    answers: list[Any] = []
    routing = threading.Thread(target=lambda: answers.append(other.route_one(late.seq, "payments", body)))

    def prune_slowly(tx: Transaction) -> Pruned:
        pruned = prune_cases(tx, chosen, FAR, actor="alice")
        routing.start()
        deadline = time.monotonic() + 60
        while not waits_for_a_lock(world.ledger):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return pruned

    assert world.ledger.transact(prune_slowly).cases == 1
    routing.join(60)
    other.ledger.close()
    assert answers == [EventState.LATE]
