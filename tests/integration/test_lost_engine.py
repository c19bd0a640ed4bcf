"""The engine's state store is wiped or put back to an earlier state under running cases: the ledger brings them back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_store import put_engine_back, spoil, store_of
from running_system import RunningSystem
from shop_events import decision, fresh, payment, purchase
from sqlalchemy import select
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

from sayso.engine import UnreadableInstanceError
from sayso.ledger.schema import events

pytestmark = pytest.mark.stack
QUICK = {
    "SAYSO_RECONCILER__CHECK_INTERVAL": "PT2S",
    "SAYSO_RECONCILER__CHECK_INTERVAL_MAX": "PT4S",
    "SAYSO_RECONCILER__ABSENCE": "PT2S",
    "SAYSO_RECONCILER__UNSEEN_AFTER": "PT3S",
    "SAYSO_RECONCILER__STUCK_AFTER": "PT5S",
}
AGREED_SECONDS = 120.0


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def forgetful(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack whose reconciler is in a hurry, and whose store these tests harm."""
    with system_on(request.param, tmp_path_factory, **QUICK) as running:
        yield running


def alerts_about(system: RunningSystem, instance_id: str) -> list[str]:
    return [one["data"]["kind"] for one in system.messages("alerts") if one["data"]["case"] == instance_id]


def check_completed(system: RunningSystem, order: str) -> None:
    """Paid once, placed once, every event used."""
    try:
        closed = system.closed(order, deadline_seconds=AGREED_SECONDS)
    except AssertionError as error:
        mine = select(events).where(events.c.key == order).order_by(events.c.seq)
        told = [(row.event_name, row.state, row.reason) for row in system.ledger.read(lambda tx: tx.all(mine))]
        raise AssertionError(f"{error}; its events: {told}") from None
    assert closed.outcome == "completed"
    assert system.effects(order) == [("orders.placed", 1)]
    assert len(system.cases(order)) == 1
    asked = eventually(lambda: system.messages_about("payment-commands", order), AGREED_SECONDS, "the payment is asked for")
    assert len({one["id"] for one in asked}) == 1


def test_cases_go_on_where_they_were_after_the_store_was_wiped(forgetful: RunningSystem) -> None:
    asked, approved = [fresh("PO") for _ in range(3)], [fresh("PO") for _ in range(3)]
    before = {order: forgetful.open_purchase(order) for order in [*asked, *approved]}
    for order in approved:
        forgetful.approve_purchase(order)
    put_engine_back(forgetful, {})
    for order in asked:
        forgetful.send(decision(order_id=order))
    for order in [*asked, *approved]:
        forgetful.send(payment(order))
    for order in [*asked, *approved]:
        check_completed(forgetful, order)
        case = forgetful.case(order)
        assert case is not None
        assert (case.instance_id, case.opened_at_ms, case.input) == (
            before[order].instance_id,
            before[order].opened_at_ms,
            before[order].input,
        )
        assert alerts_about(forgetful, case.instance_id) == ["case-restarted"]


def test_an_engine_that_was_put_back_gets_again_what_the_ledger_knows(forgetful: RunningSystem) -> None:
    order = fresh("PO")
    forgetful.open_purchase(order)
    earlier = store_of(forgetful).copy()
    case = forgetful.approve_purchase(order)
    put_engine_back(forgetful, earlier)

    def came_to_where_it_was() -> bool:
        try:
            history = forgetful.engine.history(case.instance_id)
        except UnreadableInstanceError:  # for a moment, while a turn is being stored
            return False
        return "place_order" in [entry.name for entry in history if entry.kind == "TASK_SCHEDULED"]

    eventually(came_to_where_it_was, AGREED_SECONDS, "the workflow has the decision again")
    forgetful.send(payment(order))
    check_completed(forgetful, order)
    assert alerts_about(forgetful, case.instance_id) == []


def test_a_case_goes_on_as_another_instance_when_what_is_stored_of_the_first_does_not_fit_together(forgetful: RunningSystem) -> None:
    order = fresh("PO")
    forgetful.open_purchase(order)
    instance_id = forgetful.approve_purchase(order).instance_id
    spoil(forgetful, instance_id)
    for refused in (forgetful.engine.state, forgetful.engine.purge, forgetful.engine.discard):
        with pytest.raises(UnreadableInstanceError):
            refused(instance_id)
    forgetful.send(payment(order))
    check_completed(forgetful, order)
    assert alerts_about(forgetful, instance_id) == ["case-restarted"]
    second = forgetful.engine.state(f"{instance_id}_2")
    assert second is not None
    assert second.status == "COMPLETED"


def test_purchases_that_come_after_all_this_are_as_ever(forgetful: RunningSystem) -> None:
    order = fresh("PO")
    forgetful.send(purchase(order), decision(order_id=order), payment(order))
    check_completed(forgetful, order)
