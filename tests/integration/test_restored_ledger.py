"""The ledger is restored from a backup while the engine has gone on: it learns what it lacks, and nothing happens twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running_system import RunningSystem
from shop_events import decision, fresh, payment, purchase
from sqlalchemy import func, select
from waiting import eventually

from sayso.ledger import open_ledger
from sayso.ledger.backup import back_up, restore
from sayso.ledger.schema import events
from sayso.testing.stack import running_stack

pytestmark = pytest.mark.stack
QUICK = {
    "SAYSO_RECONCILER__CHECK_INTERVAL": "PT2S",
    "SAYSO_RECONCILER__CHECK_INTERVAL_MAX": "PT4S",
    "SAYSO_RECONCILER__ABSENCE": "PT30S",
}
LEARNT_SECONDS = 120.0


@contextmanager
def stack_in(folder: Path, *, keep_data: bool) -> Iterator[RunningSystem]:
    with running_stack(folder, env_overrides=QUICK, keep_data=keep_data) as stack:
        system = RunningSystem(stack)
        try:
            yield system
        finally:
            system.close()


def check_placed_once(system: RunningSystem, *orders: str) -> None:
    for order in orders:
        assert system.effects(order) == [("orders.placed", 1)], order
        assert len(system.cases(order)) == 1, order


def seen_again(system: RunningSystem, order: str) -> int:
    """How many events of this order have come more than once."""
    query = select(func.count()).select_from(events).where(events.c.key == order, events.c.sightings > 1)
    return int(system.ledger.read(lambda tx: tx.run(query).scalar_one()))


def test_a_restored_ledger_learns_from_the_engine_what_happened_after_the_backup(tmp_path: Path) -> None:
    """Each order is at another point at the backup, and at another one when the ledger is lost."""
    placed, paid, new_and_placed, new_and_paid, in_vain = (fresh("PO") for _ in range(5))
    folder, file = tmp_path / "stack", tmp_path / "backup.db"
    sent = [purchase(new_and_paid), decision(order_id=new_and_paid), payment(new_and_paid)]
    with stack_in(folder, keep_data=True) as system:
        for order in (placed, paid):
            system.open_purchase(order)
        back_up(system.ledger, file)
        for order in (placed, paid):
            system.approve_purchase(order)
        system.pay_purchase(paid)
        system.open_purchase(new_and_placed)
        system.approve_purchase(new_and_placed)
        system.send(*sent)
        system.closed(new_and_paid)
        system.open_purchase(in_vain)
        early = payment(in_vain)
        system.send(early)
        system.settled(early, "delivered")
        check_placed_once(system, placed, paid, new_and_placed, new_and_paid)
        url = system.state.ledger_url
    ledger = open_ledger(url)
    restore(ledger, file, replace=True)
    ledger.close()
    with stack_in(folder, keep_data=False) as system:
        system.send(*sent)  # whose acknowledgement the sender has not seen
        for order in (paid, new_and_paid):
            assert system.closed(order, deadline_seconds=LEARNT_SECONDS).outcome == "completed"
        for order in (placed, new_and_placed):
            eventually(lambda order=order: (case := system.case(order)) and case.stage == "waits for payment", LEARNT_SECONDS, order)  # type: ignore[misc]
            system.send(payment(order))
        for order in (placed, new_and_placed):
            assert system.closed(order, deadline_seconds=LEARNT_SECONDS).outcome == "completed"
        eventually(lambda: seen_again(system, new_and_paid) == 3, LEARNT_SECONDS, "what came again is known")
        check_placed_once(system, placed, paid, new_and_placed, new_and_paid)
        assert system.messages_about("deadletters", new_and_paid) == []
        system.send(decision(order_id=in_vain, approved=False))
        assert system.closed(in_vain, deadline_seconds=LEARNT_SECONDS).outcome == "rejected"
        (found,) = [row for row in system.rows_of_case(in_vain) if row.event_name == "payment_received"]
        assert (found.topic, found.state) == ("recovered", "unclaimed")
        refunds = eventually(lambda: system.messages_about("payment-commands", in_vain), LEARNT_SECONDS, "the payment is given back")
        assert {one["id"] for one in refunds} == {found.answered_by}
