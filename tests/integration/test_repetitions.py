"""Nothing twice: repetitions are sightings, other content is a conflict, an ended case is never run again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pytest
from running_system import DEADLINE_SECONDS, RunningSystem
from shop_events import decision, encoded, fresh, purchase, topic_of
from waiting import eventually

pytestmark = pytest.mark.stack


def sightings(system: RunningSystem, event_id: str, count: int) -> Any:
    """The event's one row, once it has been seen so often."""

    def seen() -> Any:
        rows = system.rows(event_id)
        return rows[0] if len(rows) == 1 and rows[0].sightings == count else None

    try:
        return eventually(seen, DEADLINE_SECONDS, f"{count} sightings of {event_id} on one row")
    except AssertionError as error:
        raise AssertionError(f"{error}; rows: {[(row.state, row.sightings) for row in system.rows(event_id)]}") from None


def test_a_purchase_sent_a_hundred_times_is_one_case_and_its_history_stays(system: RunningSystem) -> None:
    order = fresh("PO")
    sent = purchase(order)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: system.send(sent), range(50)))
        system.waiting_for("approval", order)
    row = sightings(system, sent["id"], 50)
    assert row.state == "started"

    system.approve_purchase(order)
    closed = system.pay_purchase(order)
    before = [asdict(entry) for entry in system.engine.history(closed.instance_id)]
    assert before

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: system.send(sent), range(50)))
    row = sightings(system, sent["id"], 100)
    assert (row.state, row.instance_id) == ("started", closed.instance_id)
    assert [asdict(entry) for entry in system.engine.history(closed.instance_id)] == before
    assert system.cases(order) == [closed]
    assert system.effects(order) == [("orders.placed", 1)]
    assert system.outcome(order)["id"] == f"{closed.instance_id}:closed"


def test_the_same_event_in_other_bytes_is_a_sighting_too(system: RunningSystem) -> None:
    order = fresh("PO")
    sent = purchase(order)
    system.send(sent)
    system.waiting_for("approval", order)
    system.publish(sent)  # daprd adds a topic, a trace and more to the envelope
    system.broker.send("purchases", json.dumps(sent, indent=4, sort_keys=True).encode())
    system.broker.send("purchases", encoded({**sent, "traceparent": "00-1-1-00", "time": "2026-01-01T00:00:00Z"}))
    row = sightings(system, sent["id"], 4)
    assert row.state == "started"
    assert len(system.cases(order)) == 1
    assert system.dead_letters(seq=row.seq) == []


def test_a_repeated_decision_is_used_once(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    sent = decision(order_id=order)
    for _ in range(10):
        system.send(sent)
    row = sightings(system, sent["id"], 10)
    assert system.settled(sent, "consumed").seq == row.seq
    system.pay_purchase(order)
    assert system.effects(order) == [("orders.placed", 1)]


def test_the_same_identity_with_other_content_is_a_conflict(system: RunningSystem) -> None:
    order = fresh("PO")
    sent = purchase(order)
    system.send(sent)
    case = system.waiting_for("approval", order)
    system.send(purchase(order, event_id=sent["id"], cost="9999.00"))
    rows = eventually(lambda: found if len(found := system.rows(sent["id"])) == 2 else None, 10, "a second row")
    eventually(lambda: system.rows(sent["id"])[1].state == "conflict", 10, "the conflict")
    first, second = rows[0], system.rows(sent["id"])[1]
    assert second.reason == f"event {first.seq} has the same source and id, but says something else"
    eventually(lambda: len(system.dead_letters(seq=second.seq)) == 1, 10, "its dead letter")
    assert system.rows(sent["id"])[0].state == "started"
    unchanged = system.case(order)
    assert unchanged is not None
    assert unchanged.input == case.input


def test_the_same_id_of_another_source_is_another_event(system: RunningSystem) -> None:
    one, other = fresh("PO"), fresh("PO")
    event_id = fresh("event")
    system.send(purchase(one, event_id=event_id, source="/shop"), purchase(other, event_id=event_id, source="/shop/two"))
    system.waiting_for("approval", one)
    system.waiting_for("approval", other)
    assert [row.state for row in system.rows(event_id)] == ["started", "started"]


def test_a_new_request_for_an_open_or_ended_case_is_refused(system: RunningSystem) -> None:
    order = fresh("PO")
    case = system.open_purchase(order)
    again = purchase(order)
    system.send(again)
    refused = system.settled(again, "refused")
    assert refused.reason == f"the case for key '{order}' is open: {case.instance_id}"

    system.send(decision(order_id=order, approved=False))
    system.closed(order)
    later = purchase(order)
    system.send(later)
    refused_later = system.settled(later, "refused")
    assert refused_later.reason == f"the case for key '{order}' has ended (rejected): {case.instance_id}"
    assert len(system.cases(order)) == 1
    for row in (refused, refused_later):
        (letter,) = eventually(lambda seq=row.seq: system.dead_letters(seq=seq), 10, "its dead letter")  # type: ignore[misc]
        assert (letter["saysostate"], letter["saysoreason"]) == ("refused", row.reason)


def test_a_hundred_requests_at_once_for_one_key_open_one_case(system: RunningSystem) -> None:
    order = fresh("PO")
    sent = [purchase(order) for _ in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(system.send, sent))
    eventually(
        lambda: all(len(rows := system.rows(one["id"])) == 1 and rows[0].state in ("started", "refused") for one in sent),
        DEADLINE_SECONDS,
        "all hundred have their place",
    )
    assert sorted(system.row(one["id"]).state for one in sent).count("started") == 1
    assert len(system.cases(order)) == 1
    assert topic_of(sent[0]) == "purchases"
