"""Quotas: one source, or one event name of one case, takes up only so much; everybody else goes on."""

from __future__ import annotations

from typing import Any

from ledger_world import DECISION, PAYMENT, World, cloudevent

from sayso.contracts.catalog import EVENT_TYPES
from sayso.ledger import Ledger
from sayso.ledger.schema import outbox
from sayso.settings import Settings

REFUND = "sayso.payment.refund-requested.v1"


def limited(ledger: Ledger, **limits: int) -> World:
    return World(ledger, settings=Settings(limits=limits))


def pay(world: World, key: str, source: str = "/shop") -> str | None:
    state = world.send("payments", PAYMENT, {"order_id": key, "amount": 1200, "currency": "EUR"}, source=source)
    return state.value if state is not None else None


def alerts(world: World) -> list[dict[str, Any]]:
    found = [data for topic, data in world.published if topic == "alerts"]
    for data in found:
        EVENT_TYPES["sayso.alert.raised.v1"].model.model_validate(data)
    return found


def test_a_source_keeps_only_so_many_early_events_waiting_and_others_are_not_held_up(ledger: Ledger) -> None:
    world = limited(ledger, held_events=3)
    assert [pay(world, f"PO-{number}") for number in range(5)] == ["held"] * 3 + ["expired"] * 2
    assert world.events[3].reason.endswith("cannot wait: 3 early events of /shop wait already (at most 3)")
    assert pay(world, "PO-9", source="/other") == "held"
    assert world.buy("PO-1") == "started"
    assert pay(world, "PO-1") == "delivering", "only what would wait is counted"
    assert pay(world, "PO-8") == "held", "there is room again"
    assert [one["kind"] for one in alerts(world)] == ["too-many-held"], "once an hour"
    assert sum(row.type == REFUND for row in world.rows(outbox)) == 2, "what may not wait is answered as what waited too long"


def test_what_could_not_wait_is_driven_by_a_resend(ledger: Ledger) -> None:
    world = limited(ledger, held_events=1)
    second = cloudevent(DECISION, {"order_id": "PO-2", "approved": True, "approver": "bob"})
    assert world.decide("PO-1") == "held"
    world.receive("approvals", second)
    assert world.route() == ["expired"]
    world.buy("PO-2")
    world.receive("approvals", second)
    assert world.route() == ["delivering"]


def test_the_bytes_that_wait_are_counted_too(ledger: Ledger) -> None:
    size = len(cloudevent(PAYMENT, {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}))
    world = limited(ledger, held_bytes=size * 3)
    assert [pay(world, f"PO-{number}") for number in range(4)].count("held") in (2, 3)
    assert pay(world, "PO-9") == "expired"


def test_a_case_is_given_only_so_many_events_of_one_name(ledger: Ledger) -> None:
    world = limited(ledger, case_events=2)
    world.buy("PO-1")
    world.buy("PO-2")
    assert [world.decide() for _ in range(4)] == ["delivering"] * 2 + ["refused"] * 2
    row = world.events[-1]
    assert row.reason == f"{row.instance_id} was given 2 events approval_received already (at most 2)"
    assert world.pay() == "delivering", "a flood of decisions does not keep the payment out"
    assert world.decide("PO-2") == "delivering"
    assert [job.key for job in world.lease() for _ in job.events] == ["PO-1"] * 3 + ["PO-2"]
    assert [one["kind"] for one in alerts(world)] == ["case-over-limit"]


def test_a_case_is_given_only_so_many_bytes_and_a_large_one_does_not_burn_the_rest(ledger: Ledger) -> None:
    world = limited(ledger, case_bytes=2_000)
    world.buy()
    large = {"order_id": "PO-1", "approved": False, "approver": "bob", "reason": "x" * 3_000}
    for _ in range(3):
        assert world.send("approvals", DECISION, large) == "refused"
    assert "bytes, at most 2000" in world.events[-1].reason
    assert world.decide() == "delivering"


def test_early_events_beyond_what_their_case_is_given_are_refused_when_it_opens(ledger: Ledger) -> None:
    world = limited(ledger, case_events=2)
    for _ in range(4):
        assert world.decide() == "held"
    assert pay(world, "PO-1") == "held"
    assert world.buy() == "started"
    assert world.states == ["delivering"] * 2 + ["refused"] * 2 + ["delivering", "started"]
    assert world.events[2].reason.startswith("came early; ")
    assert len(world.dead_letters) == 2


def test_used_and_refused_events_count_as_given(ledger: Ledger) -> None:
    world = limited(ledger, case_events=2)
    world.buy()
    world.decide()
    world.decide()
    world.drive()
    first, second = (row.seq for row in world.events[1:])
    world.step("record_refusal", refused=[{"seq": first, "reason": "no"}])
    world.step("place_order", used=[second])
    assert world.decide() == "refused"
