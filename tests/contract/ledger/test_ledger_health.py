"""The ledger's health in numbers, and the alarms: each told once for each time that its limit is passed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from ledger_world import World
from sqlalchemy import event

from sayso.contracts.workflow_io import Notice
from sayso.ledger import Ledger
from sayso.ledger.alarms import Reading, changed, readings, settle_alarm
from sayso.ledger.queries import ledger_health
from sayso.ledger.queries.health import Health, alerts_since, finished_events, health
from sayso.ledger.schema import cases, events, outbox, steps, tasks
from sayso.settings import AlarmSettings
from sayso_subscribers.alarm_watch import AlarmWatch

DAY = timedelta(days=1)


def look(world: World, overdue_after: timedelta = timedelta(0)) -> Health:
    return world.ledger.read(partial(health, overdue_after=overdue_after))


def earlier(world: World, table: Any, column: str, span: timedelta) -> None:
    """What was written at `column` was written by `span` earlier."""
    world.change(table, **{column: table.c[column] - round(span.total_seconds() * 1000)})


def placed(world: World, key: str = "PO-1") -> None:
    """A case that waits for its payment."""
    world.buy(key)
    world.drive()
    world.decide(key)
    world.drive()
    seq = world.events[-1].seq
    world.step(
        "place_order", {"reference": "r"}, used=[seq], stage="waits for payment", decision={"decision": "approve", "decided_by": "bob"}
    )


def test_an_empty_ledger_is_healthy(world: World) -> None:
    seen = look(world)
    assert (seen.received, seen.undispatched.rows, seen.outbox.rows, seen.cases_overdue, seen.failed_last_hour) == (0, 0, 0, 0, 0)
    assert seen.undispatched.seconds(seen.at) == 0
    assert (seen.cases_open, seen.alarms, set(seen.events.values())) == ({}, {}, {0})


def test_what_waits_to_be_dispatched_counts_with_its_oldest(world: World) -> None:
    world.receive("purchases", b"not looked at yet")
    assert (look(world).undispatched.rows, look(world).events["received"]) == (1, 1)
    earlier(world, events, "received_at_ms", timedelta(minutes=3))
    assert 179 < look(world).undispatched.seconds(look(world).at) < 240
    world.route()
    assert look(world).undispatched.rows == 0
    world.buy()
    assert look(world).undispatched.rows == 1, "a case that the engine has not started"
    world.drive()
    assert look(world).undispatched.rows == 0
    world.decide()
    assert look(world).undispatched.rows == 1, "an event that the engine has not got"
    assert look(world).cases_open == {("purchase_order_workflow", "running"): 1}


def test_a_held_event_does_not_wait_to_be_dispatched(world: World) -> None:
    world.pay()
    assert (look(world).undispatched.rows, look(world).events["held"]) == (0, 1)


def test_what_is_not_published_or_sent_counts(world: World) -> None:
    world.buy()
    notice = Notice(name="send_order_update", recipient="alice", title="t", body="b")
    world.step("tell", notices=[notice])
    earlier(world, outbox, "created_at_ms", timedelta(hours=2))
    seen = look(world)
    assert (seen.outbox.rows, seen.notices.rows) == (1, 2)
    assert 7_199 < seen.outbox.seconds(seen.at) < 7_300


def test_finished_and_unfinished_events_are_told_apart(world: World) -> None:
    placed(world)
    world.receive("purchases", b"not json")
    world.route()
    assert world.ledger.read(finished_events) == {"started": 1, "consumed": 1, "recorded": 0, "dead": 0}
    assert look(world).events["rejected"] == 1
    assert look(world).received == 3


def test_what_failed_within_the_hour_counts_and_what_failed_before_does_not(world: World) -> None:
    world.receive("purchases", b"not json")
    world.route()
    assert look(world).failed_last_hour == 1
    earlier(world, events, "updated_at_ms", timedelta(minutes=61))
    assert look(world).failed_last_hour == 0


def test_an_open_case_whose_decision_did_not_come_in_time_is_overdue(world: World) -> None:
    world.buy()
    assert look(world).cases_overdue == 0
    earlier(world, tasks, "due_at_ms", DAY + timedelta(minutes=3))
    assert look(world).cases_overdue == 1
    assert look(world, timedelta(minutes=5)).cases_overdue == 0
    world.close("timed_out")
    assert look(world).cases_overdue == 0


def test_an_open_case_whose_payment_did_not_come_in_time_is_overdue(world: World) -> None:
    placed(world)
    assert look(world).cases_overdue == 0
    earlier(world, steps, "done_at_ms", timedelta(days=6))
    assert look(world).cases_overdue == 0
    earlier(world, steps, "done_at_ms", DAY + timedelta(minutes=3))
    assert look(world).cases_overdue == 1
    assert look(world, timedelta(minutes=5)).cases_overdue == 0
    world.close()
    assert look(world).cases_overdue == 0


def test_trouble_with_the_engine_counts_until_it_is_over(world: World) -> None:
    world.buy()
    for job in world.lease():
        world.settle(job, error="UNAVAILABLE")
    assert look(world).cases_in_trouble == 1
    world.drive()
    assert look(world).cases_in_trouble == 0


def test_health_reads_only_what_is_unfinished(sqlite_url: str) -> None:
    """No question that is asked often goes through a whole table, however large it grows."""
    ledger = Ledger(sqlite_url)
    asked: list[tuple[str, Any]] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda _c, _k, statement, values, *_: asked.append((statement, values)))
    try:
        ledger.read(partial(health, overdue_after=timedelta(0)))
        wanted = [(statement, values) for statement, values in asked if statement.startswith("SELECT")]
        with ledger.engine.connect() as connection:
            plans = [row[3] for one, values in wanted for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values)]
    finally:
        ledger.close()
    assert len(wanted) > 10
    whole = [plan for plan in plans if plan.startswith("SCAN") and "INDEX" not in plan]
    assert not [plan for plan in whole if "ledger_info" not in plan], plans
    partial_indices = ("ix_events_due", "ix_cases_due", "ix_outbox_due", "ix_notices_due", "ix_tasks_open", "ux_cases_one_open")
    scanned = [plan for plan in plans if plan.startswith("SCAN") and "INDEX" in plan]
    assert not [plan for plan in scanned if not plan.split("INDEX ")[1].startswith(partial_indices)], plans


def test_the_health_of_a_url_is_plain_data(world: World, ledger_url: str) -> None:
    world.buy()
    told = ledger_health(ledger_url)
    assert told is not None
    assert (told["undispatched"], told["outbox"], told["alarms"], told["alerts_last_day"]) == (1, 1, {}, {})


# Alarms.

SETTINGS = AlarmSettings(dead_letters_an_hour=2)


def watched(world: World) -> list[str]:
    """One look of the lane; the kinds of all alerts so far."""
    AlarmWatch(world.ledger, SETTINGS, lambda: None).work()
    return [data["kind"] for topic, data in world.published if topic == "alerts"]


def fail(world: World, count: int, name: str = "a") -> None:
    for number in range(count):
        world.receive("purchases", f"garbage {name} {number}".encode())
    world.route()


def test_too_many_dead_letters_are_told_once_until_it_was_calm(world: World) -> None:
    fail(world, 2)
    assert watched(world) == []
    fail(world, 1, "b")
    assert watched(world) == watched(world) == ["dead-letters-many"]
    assert set(look(world).alarms) == {"dead-letters-many"}
    earlier(world, events, "updated_at_ms", timedelta(hours=2))
    fail(world, 2, "c")
    assert watched(world) == ["dead-letters-many"], "two is no longer too many, but not calm either"
    fail(world, 1, "d")
    assert watched(world) == ["dead-letters-many"], "it hovers about the limit"
    earlier(world, events, "updated_at_ms", timedelta(hours=2))
    assert watched(world) == ["dead-letters-many"]
    assert look(world).alarms == {}
    fail(world, 3, "e")
    assert watched(world) == ["dead-letters-many", "dead-letters-many"]
    assert world.ledger.read(partial(alerts_since, span=DAY)) == {"dead-letters-many": 2}
    assert world.audit_actions.count("alarm-ended") == 1


def test_an_outbox_or_dispatcher_that_falls_behind_is_told(world: World) -> None:
    world.buy()
    earlier(world, cases, "opened_at_ms", timedelta(minutes=2))
    assert watched(world) == ["dispatcher-behind"]
    world.drive()
    earlier(world, outbox, "created_at_ms", timedelta(minutes=6))
    assert watched(world) == ["dispatcher-behind", "outbox-behind"]
    assert set(look(world).alarms) == {"outbox-behind"}
    world.change(outbox, due_at_ms=None)
    watched(world)
    assert look(world).alarms == {}


def test_a_case_past_its_deadline_is_told(world: World) -> None:
    world.buy()
    world.drive()
    earlier(world, tasks, "due_at_ms", DAY + timedelta(minutes=6))
    assert watched(world) == ["cases-overdue"]


def test_two_replicas_that_see_the_same_tell_it_once(world: World, ledger_url: str) -> None:
    fail(world, 3)
    seen = look(world)
    (reading,) = changed(seen, readings(seen, SETTINGS))
    other = Ledger(ledger_url)
    try:
        assert world.ledger.transact(partial(settle_alarm, reading=reading)) is True
        assert other.transact(partial(settle_alarm, reading=reading)) is None
    finally:
        other.close()
    assert [data["kind"] for topic, data in world.published if topic == "alerts"] == ["dead-letters-many"]


@pytest.mark.parametrize(("value", "passed", "calm"), [(11, True, False), (10, False, False), (6, False, False), (5, False, True)])
def test_between_calm_and_the_limit_nothing_changes(value: float, passed: bool, calm: bool) -> None:
    reading = Reading("outbox-behind", value, 10, "")
    assert (reading.is_passed, reading.is_calm) == (passed, calm)
