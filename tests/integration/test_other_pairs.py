"""The other two pairs of broker and ledger do the main job too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running_system import DEADLINE_SECONDS, RunningSystem
from shop_events import decision, fresh, payment, purchase
from stack_pairs import OTHER_PAIRS, name_of, system_on
from waiting import eventually

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", params=OTHER_PAIRS, ids=name_of)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    with system_on(request.param, tmp_path_factory) as running:
        yield running


def test_a_purchase_a_repetition_and_a_bad_message_end_as_they_must(other: RunningSystem) -> None:
    order = fresh("PO")
    asked, bad = purchase(order), f"{order} is not json".encode()
    other.send(asked)
    case = other.waiting_for("approval", order)
    other.send(asked)
    other.broker.send("purchases", bad)
    other.send(decision(order_id=order))
    other.waiting_for("payment", order)
    other.send(payment(order))

    assert other.closed(order).outcome == "completed"
    assert other.outcome(order)["data"]["milestones"] == ["approved", "placed", "paid"]
    assert other.effects(order) == [("orders.placed", 1)]
    eventually(lambda: other.row(asked["id"]).sightings == 2, DEADLINE_SECONDS, "the repetition was counted")
    assert [each.instance_id for each in other.cases(order)] == [case.instance_id]

    (row,) = eventually(lambda: other.rows_of_bytes("purchases", bad), DEADLINE_SECONDS, "the bad message's row")
    eventually(lambda: other.rows_of_bytes("purchases", bad)[0].state == "rejected", DEADLINE_SECONDS, "rejected")
    eventually(lambda: len(other.dead_letters(seq=row.seq)) == 1, DEADLINE_SECONDS, "its dead letter")
