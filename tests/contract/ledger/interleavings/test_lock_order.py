"""Any two transactions of the ledger on one case: they wait for each other, and never in a circle."""

from __future__ import annotations

from functools import partial
from itertools import combinations_with_replacement, count

import pytest
from ledger_world import DECISION, PURCHASE, WORKFLOW, World, cloudevent, purchase
from meetings import Table, begin_anew, routing, through
from sqlalchemy import select
from two_connections import Acts

from sayso.ledger import Transaction
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import CONFLICT_RETRIES
from sayso.ledger.outbox import lease_outgoing, mark_published
from sayso.ledger.schema import events

DEADLOCK = "40P01"
AGAIN = cloudevent(DECISION, {"order_id": "PO-1", "approver": "carol"}, "again")


def acts_on_one_case(world: World) -> dict[str, Acts]:
    """A case with a used, a raised and a new decision, a second purchase, and full outbox; and everything that may be done to it."""
    begin_anew(world)
    world.buy()
    world.decide()
    world.drive()
    used = world.events[-1].seq
    world.decide(approver="carol")
    (job,) = world.lease()
    ref = world.ref
    world.receive("approvals", AGAIN)
    world.receive("purchases", cloudevent(PURCHASE, purchase()))
    published = world.ledger.transact(partial(lease_outgoing, lease_ms=60_000, limit=10))
    close = {"outcome": "rejected", "result": "no"}
    deadline = ref.opened_at
    return {
        "route a decision": routing(world, -2),
        "route a second purchase": routing(world, -1),
        "receive again": through(world, lambda side: side.receive("approvals", AGAIN)),
        "record a step": through(world, lambda side: side.step("place_order", ref=ref, used=[used])),
        "close": through(world, lambda side: side.step("close_case", ref=ref, used=[used], closing=close)),
        "confirm the deadline": through(world, lambda side: side.confirm_deadline(deadline, "approval_received")),
        "lease": through(world, lambda side: side.lease()),
        "settle": through(world, lambda side: side.settle(job)),
        "mark published": through(
            world, lambda side: side.ledger.transact(partial(mark_published, seqs=[row.seq for row in published]))
        ),
    }


NAMES = (
    "route a decision",
    "route a second purchase",
    "receive again",
    "record a step",
    "close",
    "confirm the deadline",
    "lease",
    "settle",
    "mark published",
)


def test_everything_that_may_be_done_is_in_the_list(table: Table) -> None:
    assert tuple(acts_on_one_case(table.world)) == NAMES


@pytest.mark.parametrize("one", NAMES)
def test_no_two_transactions_wait_in_a_circle(table: Table, one: str) -> None:
    """The first stops at each of its points; the second runs until it ends or waits; then the first goes on."""
    pairs = [pair for pair in combinations_with_replacement(NAMES, 2) if pair[0] == one]
    for first, second in pairs:
        for stops_at in count():
            acts = acts_on_one_case(table.world)
            outcome = table.connections.play(acts[first], acts[second], stops_at, None)
            assert DEADLOCK not in outcome.conflicts, f"{first}, {second}: {outcome}"
            assert not [answer for answer in outcome.answers if isinstance(answer, BaseException)], f"{first}, {second}: {outcome}"
            if not outcome.first_stopped:
                break


def test_a_circle_is_seen(table: Table) -> None:
    """Who locks an event first and its case afterwards meets those who do it the other way round."""
    begin_anew(table.world)
    table.world.decide()
    event = select(events).with_for_update()

    def event_first(tx: Transaction) -> None:
        tx.run(event)
        lock_case_key(tx, WORKFLOW, "PO-1")

    def case_first(tx: Transaction) -> None:
        lock_case_key(tx, WORKFLOW, "PO-1")
        tx.run(event)

    acts: list[Acts] = [lambda ledger: ledger.transact(event_first), lambda ledger: ledger.transact(case_first)]
    outcomes = list(table.connections.every_order(lambda: (acts[0], acts[1])))
    assert any(DEADLOCK in outcome.conflicts for outcome in outcomes)
    assert all(outcome.answers == (None, None) for outcome in outcomes), f"each is tried again, up to {CONFLICT_RETRIES} times"
