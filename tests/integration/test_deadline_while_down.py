"""A deadline that passes while nothing runs at all: the case ends when everything is back, and ends once."""

from __future__ import annotations

import time

import pytest
from running_system import RunningSystem
from shop_events import fresh, purchase
from waiting import eventually

from sayso.testing.stack import running_stack

pytestmark = pytest.mark.stack
SETTINGS = {"SAYSO_PURCHASE__APPROVAL_TIMEOUT": "PT15S"}
BACK_SECONDS = 90.0


def test_a_deadline_that_passed_while_everything_was_down_fires_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, order = tmp_path_factory.mktemp("stack"), fresh("PO")
    with running_stack(folder, env_overrides=SETTINGS, keep_data=True) as stack:
        system = RunningSystem(stack)
        system.send(purchase(order))
        opened = system.waiting_for("approval", order)
        due_at_ms = system.task(opened.instance_id).due_at_ms  # type: ignore[union-attr]
        system.close()
    eventually(lambda: time.time() * 1000 > due_at_ms, BACK_SECONDS, "the deadline has passed")
    with running_stack(folder, env_overrides=SETTINGS) as stack:
        system = RunningSystem(stack)
        closed = system.closed(order, deadline_seconds=BACK_SECONDS)
        assert (closed.instance_id, closed.outcome) == (opened.instance_id, "timed_out")
        assert system.effects(order) == [("orders.cancelled", 1)]
        assert system.outcome(order)["id"] == f"{closed.instance_id}:closed"
        system.close()
