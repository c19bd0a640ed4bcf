"""A deadline that passes while nothing runs, or whose timer waits in a scheduler that is killed: the case ends, and ends once."""

from __future__ import annotations

import time

import pytest
from running_system import RunningSystem
from shop_events import fresh, purchase
from waiting import eventually

from sayso.testing.stack import running_stack

pytestmark = pytest.mark.stack
SETTINGS = {"SAYSO_PURCHASE__APPROVAL_TIMEOUT": "PT15S"}
LONGER = {"SAYSO_PURCHASE__APPROVAL_TIMEOUT": "PT30S"}
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


def test_timers_that_wait_while_the_scheduler_is_killed_fire_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    orders = [fresh("PO") for _ in range(5)]
    with running_stack(tmp_path_factory.mktemp("stack"), env_overrides=LONGER) as stack:
        system = RunningSystem(stack)
        opened = [system.open_purchase(order) for order in orders]
        stack.kill("scheduler")
        assert {phase_of(system, order) for order in orders} == {"running"}
        closed = [system.closed(order, deadline_seconds=BACK_SECONDS) for order in orders]
        assert [case.instance_id for case in closed] == [case.instance_id for case in opened]
        assert {case.outcome for case in closed} == {"timed_out"}
        assert [system.effects(order) for order in orders] == [[("orders.cancelled", 1)]] * len(orders)
        assert len({system.outcome(order)["id"] for order in orders}) == len(orders)
        system.close()


def phase_of(system: RunningSystem, order: str) -> str | None:
    case = system.case(order)
    return case.phase if case is not None else None
