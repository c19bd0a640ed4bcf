"""The shipped policies, walked through by the real workflows: who is asked one after the other, and by whose yes it is approved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from office import SETTINGS, Office, memory_engine

from sayso.ledger import Ledger
from sayso.ledger.schema import tasks
from sayso.policy.rulebook import LivePolicies
from sayso.settings import PolicySettings, TaskSettings

CONFIG = Path(__file__).parents[3] / "config"
USE = PolicySettings(use={"purchase_order_workflow": "purchase_bands"})


@pytest.fixture
def bands(ledger: Ledger) -> Iterator[Office]:
    settings = SETTINGS.model_copy(update={"config_dir": CONFIG, "policies": USE})
    policies = LivePolicies(settings)
    office = Office(ledger, partial(memory_engine, policies=policies), settings, policies)
    office.open()
    yield office
    office.close()


def pass_until(office: Office, reached: Callable[[], bool]) -> None:
    """Let the engine's time pass with that of the database, until it is so."""

    def look() -> bool:
        office.real_engine.advance(timedelta(milliseconds=200))
        return reached()

    office.wait_until(look)


def open_stages(office: Office) -> list[str]:
    return [row.stage for row in office.rows(tasks) if row.state == "open"]


def test_a_purchase_of_a_middle_band_is_asked_of_the_manager_and_then_of_finance(bands: Office) -> None:
    bands.buy(cost=3000)
    bands.wait_until(lambda: open_stages(bands) == ["manager"])
    bands.decide(approver="carol")  # not the manager of alice
    bands.wait_until(lambda: "refused" in bands.states)
    bands.decide(approver="bob")
    bands.wait_until(lambda: open_stages(bands) == ["finance"])
    bands.decide(approver="alice")
    bands.wait_until(lambda: bands.states.count("refused") == 2)
    bands.decide(approver="erin")
    bands.wait_until(lambda: bands.cases[0].stage == "waits for payment")


def test_petty_cash_asks_nobody(bands: Office) -> None:
    bands.buy(cost=200)
    bands.wait_until(lambda: bands.cases and bands.cases[0].phase == "closed")
    assert bands.cases[0].outcome == "auto_approved"
    assert bands.rows(tasks) == []


def test_an_unanswered_task_goes_to_the_director_and_times_out_in_all(ledger: Ledger) -> None:
    second = timedelta(seconds=1)
    task = TaskSettings(manager_timeout=second, total_timeout=3 * second)
    settings = SETTINGS.model_copy(update={"config_dir": CONFIG, "task": task})
    policies = LivePolicies(settings)
    office = Office(ledger, partial(memory_engine, policies=policies), settings, policies)
    office.open()
    try:
        data = {"task_id": "T-1", "title": "Move", "assignee": "bob", "priority": "high", "requester": "alice"}
        office.receive("tasks", "com.acme.task.requested.v1", data)
        office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
        pass_until(office, lambda: open_stages(office) == ["director"])
        pass_until(office, lambda: office.cases[0].phase == "closed")
        assert office.cases[0].outcome == "timed_out"
    finally:
        office.close()
