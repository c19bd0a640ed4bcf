"""`sayso explain` foretells what an event will become; `sayso event` and `sayso events` tell what it became, with the same reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_system import RunningSystem
from shop_events import Event, decision, encoded, event, fresh, payment, purchase, request, topic_of
from typer.testing import CliRunner
from waiting import eventually

from sayso.cli.main import app

pytestmark = pytest.mark.stack
Prepared = Callable[[RunningSystem], Event]


def a_first_purchase(system: RunningSystem) -> Event:
    return purchase(fresh("PO"))


def an_early_payment(system: RunningSystem) -> Event:
    return payment(fresh("PO"))


def a_decision_for_an_open_case(system: RunningSystem) -> Event:
    order = fresh("PO")
    system.open_purchase(order)
    return decision(order_id=order)


def a_late_decision(system: RunningSystem) -> Event:
    asked = request(fresh("REQ"), 10)
    system.send(asked)
    system.closed(asked["data"]["request_id"], "approval_workflow")
    return decision(request_id=asked["data"]["request_id"])


def a_purchase_whose_case_is_open(system: RunningSystem) -> Event:
    order = fresh("PO")
    system.open_purchase(order)
    return purchase(order)


def a_purchase_with_another_ones_identity(system: RunningSystem) -> Event:
    asked = purchase(fresh("PO"))
    system.send(asked)
    system.settled(asked, "started")
    return purchase(fresh("PO"), event_id=asked["id"])


def a_recorded_payment(system: RunningSystem) -> Event:
    return event("com.acme.payment.authorized.v1", {}, source="/payments")


def a_misspelt_type(system: RunningSystem) -> Event:
    return {**purchase(fresh("PO")), "type": "com.acme.purchase.requestd.v1"}


def a_purchase_without_a_key(system: RunningSystem) -> Event:
    asked = purchase(fresh("PO"))
    del asked["data"]["order_id"]
    return asked


BECOMES: dict[Prepared, tuple[str, ...]] = {
    a_first_purchase: ("started",),
    an_early_payment: ("held",),
    a_decision_for_an_open_case: ("delivering", "delivered", "consumed"),
    a_late_decision: ("late",),
    a_purchase_whose_case_is_open: ("refused",),
    a_purchase_with_another_ones_identity: ("conflict",),
    a_recorded_payment: ("recorded",),
    a_misspelt_type: ("unmatched",),
    a_purchase_without_a_key: ("rejected",),
}
TOPICS: dict[Prepared, str] = {a_recorded_payment: "payments", a_misspelt_type: "purchases"}
EXIT_CODES = {"rejected": 3, "late": 4, "refused": 4, "conflict": 4, "unmatched": 4}


def sayso(system: RunningSystem, *arguments: str, code: int = 0) -> Any:
    """What the command prints, with its exit code checked."""
    done = CliRunner().invoke(app, [*arguments, "--json"], env={"SAYSO_STATE_DIR": str(system.state.state_dir)})
    assert done.exit_code == code, (arguments, done.exit_code, done.stdout, done.stderr, done.exception)
    return json.loads(done.stdout)


@pytest.mark.parametrize("prepared", BECOMES, ids=lambda prepared: prepared.__name__.replace("_", " "))
def test_what_explain_foretells_comes_true_and_event_tells_it(system: RunningSystem, prepared: Prepared, tmp_path: Path) -> None:
    sent, states = prepared(system), BECOMES[prepared]
    topic = TOPICS.get(prepared) or topic_of(sent)
    file = tmp_path / "event.json"
    file.write_bytes(system.written(sent))

    (foretold,) = sayso(system, "explain", str(file), "--topic", topic, code=EXIT_CODES.get(states[0], 0))
    assert foretold["state"] == states[0]
    assert system.rows_of_bytes(topic, encoded(sent)) == [], "explain publishes nothing"

    system.broker.send(topic, encoded(sent))
    row = settled_bytes(system, topic, encoded(sent), states[-1])
    told = sayso(system, "event", f"#{row.seq}")["event"]
    assert (told["state"], told["reason"]) == (states[-1], row.reason)
    if states[-1] in ("late", "refused", "conflict", "unmatched", "rejected"):
        assert foretold["reason"] == row.reason
    listed = sayso(system, "events", "--state", states[-1], "--limit", "100")
    assert row.seq in [each["number"] for each in listed]


def settled_bytes(system: RunningSystem, topic: str, body: bytes, state: str) -> Any:
    """The row of these bytes, once it is in this state."""

    def reached() -> Any:
        rows = system.rows_of_bytes(topic, body)
        return rows[0] if rows and rows[0].state == state else None

    return eventually(reached, 20, f"{state}; it is {[row.state for row in system.rows_of_bytes(topic, body)]}")


def test_an_event_that_never_came_is_said_to_be_unknown(system: RunningSystem) -> None:
    done = CliRunner().invoke(app, ["event", fresh("nobody")], env={"SAYSO_STATE_DIR": str(system.state.state_dir)})
    assert done.exit_code == 1
