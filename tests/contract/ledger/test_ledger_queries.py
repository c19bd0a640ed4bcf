"""Queries answer the same on both databases, and only read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from ledger_world import PURCHASE, WORKFLOW, World, cloudevent, purchase
from sqlalchemy import text

from sayso.correlation.correlate import correlate
from sayso.errors import ConfigurationError
from sayso.ledger import Ledger
from sayso.ledger.queries import (
    detail_of,
    find_cases,
    find_events,
    find_outgoing,
    ledger_summary,
    list_cases,
    list_events,
    list_outbox,
    list_tasks,
    open_for_reading,
    status_filter,
)
from sayso.ledger.queries.outlook import outlook
from sayso.ledger.queries.timeline import timeline_of


def ended_case(world: World) -> None:
    world.buy()
    world.drive()
    world.decide()
    world.drive()
    decision = {"decision": "approve", "decided_by": "bob"}
    world.step("place_order", {"reference": "r-1"}, used=[2], decision=decision, stage="waits for payment")
    world.pay()
    world.drive()
    world.close("completed", "Approved by 'bob'", used=[3])


def test_everything_is_counted(world: World, ledger_url: str) -> None:
    ended_case(world)
    world.pay("PO-2")
    world.receive("purchases", b"not json")
    world.route()
    summary = ledger_summary(ledger_url)
    assert summary == {"events": 5, "held": 1, "failed": 1, "cases": 1, "open": 0, "unpublished": 3}


def test_a_ledger_that_cannot_be_read_has_no_summary(tmp_path: Path) -> None:
    assert ledger_summary(f"sqlite:///{tmp_path}/none.db") is None
    assert not (tmp_path / "none.db").exists()


def test_a_missing_ledger_is_an_error_that_says_what_to_do_and_stays_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no ledger at .*none\.db; start the stack: sayso up"):
        open_for_reading(f"sqlite:///{tmp_path}/none.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(ConfigurationError, match="no ledger at"):
        open_for_reading(f"sqlite:///{tmp_path}/empty.db")


def test_tables_of_another_version_are_not_read(ledger: Ledger, ledger_url: str) -> None:
    ledger.transact(lambda tx: tx.run(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigurationError, match="written by a newer Sayso"):
        open_for_reading(ledger_url)


@pytest.mark.parametrize("url", ["//alice:secret@", "mysql://alice:secret@127.0.0.1/ledger"])
def test_a_url_of_no_ledger_does_not_show_what_it_holds(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_for_reading(url)
    assert "secret" not in str(raised.value)


def test_cases_come_with_their_wait(world: World) -> None:
    world.buy()
    (case,) = world.ledger.read(partial(list_cases, condition=status_filter("open")))
    assert case.stage == "waits for approval"
    assert case.waits_until is not None
    assert (case.waits_until - case.opened_at).total_seconds() == 24 * 3600


def test_the_timeline_has_causes_before_effects(world: World) -> None:
    ended_case(world)
    (case,) = world.ledger.read(partial(find_cases, reference="PO-1", workflow=WORKFLOW))
    entries = world.ledger.read(partial(timeline_of, case=case))
    kinds = [entry.kind for entry in entries if entry.kind in ("event", "case", "decision", "ended")]
    assert kinds == ["event", "case", "event", "decision", "event", "ended"]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


def test_an_event_is_found_by_id_number_and_source(world: World) -> None:
    world.buy("PO-1", "7")
    for event_id, source in (("same", "/a"), ("same", "/b")):
        world.receive("purchases", cloudevent(PURCHASE, purchase(event_id + source), event_id, source))
    world.route()
    find = world.ledger.read
    assert [event.number for event in find(partial(find_events, reference="7"))] == [1]
    assert [event.number for event in find(partial(find_events, reference="#2"))] == [2]
    assert [event.number for event in find(partial(find_events, reference="same"))] == [2, 3]
    assert [event.number for event in find(partial(find_events, reference="same", source="/b"))] == [3]
    assert find(partial(find_events, reference="9" * 30)) == []


def test_a_number_that_is_also_an_id_shows_both(world: World) -> None:
    world.buy("PO-1", "2")
    world.buy("PO-2", "other")
    found = world.ledger.read(partial(find_events, reference="2"))
    assert [(event.number, event.event_id) for event in found] == [(1, "2"), (2, "other")]


def test_an_event_knows_its_case_and_what_it_caused(world: World) -> None:
    world.buy()
    world.close()
    world.decide()
    opened, late = (world.ledger.read(partial(detail_of, event=event)) for event in reversed(world.ledger.read(list_events)))
    assert opened.case is not None
    assert opened.case.outcome == "completed"
    assert [event.type for event in opened.caused] == ["sayso.approval.requested.v1"]
    assert [entry.action for entry in late.audit] == ["event-late"]
    assert [event.topic for event in late.dead_letters] == ["deadletters"]


def test_what_is_published_is_found_by_its_id(world: World) -> None:
    world.buy()
    (row,) = world.ledger.read(partial(list_outbox, pending=True))
    found = world.ledger.read(partial(find_outgoing, event_id=row.event_id))
    assert found == row


def test_open_tasks_say_what_is_asked(world: World) -> None:
    world.buy()
    (task,) = world.ledger.read(list_tasks)
    assert (task.key, task.what, task.assigned_to) == ("PO-1", "bolts (3) for 1200 EUR", "managers")


APPROVALS, PAYMENTS, PURCHASES = "approvals", "payments", "purchases"
DECISION, PAYMENT = "sayso.approval.decided.v1", "com.acme.payment.captured.v1"
YES = {"order_id": "PO-1", "approved": True, "approver": "bob"}
MONEY = {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}
FORETOLD: list[tuple[str, bytes]] = [
    (PURCHASES, cloudevent(PURCHASE, purchase(), "new")),
    (PURCHASES, cloudevent(PURCHASE, purchase(cost=1), "new")),
    (PURCHASES, cloudevent(PURCHASE, purchase(quantity=0), "new")),
    (PURCHASES, cloudevent("com.acme.unknown.v1", {}, "new")),
    (PURCHASES, b"\xff\xfe"),
    (PURCHASES, cloudevent(PURCHASE, purchase("PO-9"), "first")),
    (APPROVALS, cloudevent(DECISION, YES, "new")),
    (PAYMENTS, cloudevent(PAYMENT, MONEY, "new")),
    (PAYMENTS, cloudevent("com.acme.payment.authorized.v1", {}, "new")),
]


@pytest.mark.parametrize("history", ["nothing", "open", "ended"])
@pytest.mark.parametrize(("topic", "original"), FORETOLD)
def test_the_outlook_is_what_then_happens(world: World, history: str, topic: str, original: bytes) -> None:
    if history != "nothing":
        world.buy("PO-1", "first")
    if history == "ended":
        world.close()
    verdict = correlate(world.bindings, topic, original)
    look = partial(outlook, topic=topic, original=original, verdict=verdict, settings=world.rules.settings)
    before = len(world.events)
    foretold = world.ledger.read(look)
    assert len(world.events) == before
    world.receive(topic, original)
    (became,) = world.route()
    assert foretold.state == became
    again = world.ledger.read(look)
    assert (again.state, again.other) == ("sighting", world.events[-1].seq) or became in ("conflict", "unmatched")


def test_the_outlook_of_a_decision_asks_the_gate(world: World) -> None:
    world.buy()
    own = cloudevent(DECISION, {**YES, "approver": "Alice"})
    verdict = correlate(world.bindings, APPROVALS, own)
    foretold = world.ledger.read(partial(outlook, topic=APPROVALS, original=own, verdict=verdict, settings=world.rules.settings))
    assert foretold.state == "refused"
    assert "is the requester" in foretold.reason


def test_the_outlook_of_an_opening_counts_what_waits_for_it(world: World) -> None:
    world.pay()
    body = cloudevent(PURCHASE, purchase())
    verdict = correlate(world.bindings, PURCHASES, body)
    foretold = world.ledger.read(partial(outlook, topic=PURCHASES, original=body, verdict=verdict, settings=world.rules.settings))
    assert "1 held event would be delivered to it" in foretold.reason
