"""`sayso explain`: the answer and its exit code; that it foretells what routing does is tested with the queries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from answers import Sayso
from ledger_world import PROJECT, PURCHASE, World, cloudevent, purchase

EXAMPLES = PROJECT / "examples" / "events"


def test_an_opening_event_names_binding_key_and_what_follows(world: World, sayso: Sayso) -> None:
    del world
    answer = sayso("explain", str(EXAMPLES / "purchase-requested.json"))
    assert answer.code == 0
    assert "purchase-requested: start purchase_order_workflow" in answer.out
    assert "PO-1001" in answer.out
    assert "managers are asked to decide within 24 hours" in answer.out


def test_nothing_is_written(world: World, sayso: Sayso) -> None:
    sayso("explain", "-", stdin=cloudevent(PURCHASE, purchase()))
    assert world.events == []


@pytest.mark.parametrize(
    ("original", "state", "code"),
    [
        (b"\xff", "rejected", 3),
        (b"", "rejected", 3),
        (b"{}", "rejected", 3),
        (cloudevent(PURCHASE, purchase(quantity=0)), "rejected", 3),
        (cloudevent("com.acme.purchase.requestd.v1", {}), "unmatched", 4),
        (cloudevent(PURCHASE, purchase("PO-2")), "started", 0),
        (cloudevent("com.acme.payment.captured.v1", {"order_id": "PO-9", "amount": 1}), "held", 0),
        (cloudevent("com.acme.payment.captured.v1", {"order_id": "PO-1", "amount": 1}), "late", 4),
        (cloudevent(PURCHASE, purchase("PO-1"), "another"), "refused", 4),
        (cloudevent(PURCHASE, purchase("PO-1", cost=7), "first"), "conflict", 4),
        (cloudevent(PURCHASE, purchase("PO-1"), "first"), "sighting", 0),
    ],
)
def test_the_exit_code_says_whether_it_would_be_used(world: World, sayso: Sayso, original: bytes, state: str, code: int) -> None:
    world.buy("PO-1", "first")
    world.close()
    answer = sayso("explain", "-", "--json", stdin=original)
    (explained,) = answer.json
    assert (explained["state"], answer.code) == (state, code), explained["reason"]
    assert sayso("explain", "-", stdin=original).code == code


def test_the_highest_code_of_several_events_counts(world: World, sayso: Sayso) -> None:
    del world
    lines = b"\n".join([cloudevent(PURCHASE, purchase()), cloudevent("com.acme.nothing.v1", {})])
    answer = sayso("explain", "-", "--json", stdin=lines)
    assert ([each["state"] for each in answer.json], answer.code) == (["started", "unmatched"], 4)


def test_without_a_ledger_it_says_what_it_leaves_out(sayso: Sayso) -> None:
    answer = sayso("explain", str(EXAMPLES / "payment-captured.json"), "--json")
    assert (answer.code, answer.json[0]["state"], answer.json[0]["ledger_asked"]) == (0, "held", False)
    assert "without the ledger" in answer.err


def test_another_topic_can_be_asked_for(sayso: Sayso) -> None:
    answer = sayso("explain", str(EXAMPLES / "purchase-requested.json"), "--topic", "payments", "--json")
    assert (answer.code, answer.json[0]["state"]) == (4, "unmatched")


def test_a_wake_up_names_what_the_case_waits_for(world: World, sayso: Sayso, signed: Callable[..., bytes]) -> None:
    world.buy("PO-1001", requester="carol")
    decision = (EXAMPLES / "decision-approve.json").read_bytes()
    answer = sayso("explain", "-", stdin=signed(decision, key="PO-1001", requester="carol"))
    assert "waits for approval until" in answer.out
    assert sayso("explain", str(EXAMPLES / "payment-captured.json")).code == 0
