"""Steps that repeat for as long as their case lives: the ledger keeps the last one, and knows it for every earlier one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from ledger_world import World
from sqlalchemy import select

from sayso.contracts.workflow_io import LAST, RECORDED_AT, OutgoingEvent, StepInput
from sayso.ledger.schema import outbox, steps
from sayso.ledger.steps import complete_step, earlier_result


@pytest.fixture
def running(world: World) -> World:
    world.buy()
    world.drive()
    return world


def repeated(world: World, number: int) -> StepInput:
    told = OutgoingEvent(slot=f"alert:{number}", topic="alerts", type="sayso.monitor.alerted.v1", data={"n": number})
    return StepInput(case=world.ref, step="check", iteration=number, repeats={"before": number}, publish=[told])


def complete(world: World, step: StepInput) -> dict[str, Any]:
    return world.ledger.transact(partial(complete_step, step=step, result={"saw": step.iteration}))


def test_of_a_step_that_repeats_only_the_last_row_is_kept(running: World) -> None:
    for number in range(1, 6):
        assert LAST not in complete(running, repeated(running, number))
    rows = running.ledger.read(lambda tx: tx.all(select(steps).where(steps.c.step == "check")))
    assert [row.iteration for row in rows] == [5]


def test_who_asks_for_an_earlier_one_gets_the_last_one_and_does_nothing(running: World) -> None:
    for number in range(1, 4):
        complete(running, repeated(running, number))
    for asked in (1, 2, 3):
        answer = complete(running, repeated(running, asked))
        assert answer.pop(RECORDED_AT)
        assert answer == {"saw": 3, LAST: {"iteration": 3, "own": {"before": 3}}}
    assert running.ledger.read(partial(earlier_result, step=repeated(running, 4))) is None
    told = running.ledger.read(lambda tx: tx.all(select(outbox.c.event_id).where(outbox.c.topic == "alerts")))
    assert len(told) == 3
