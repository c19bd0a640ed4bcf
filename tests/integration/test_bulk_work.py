"""Batches, chains and escalations on the real stack: every item once, also when the worker is killed in the middle of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from running_system import RunningSystem
from shop_events import Event, decision, event, fresh
from sqlalchemy import Row, func, select
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

from sayso.ledger.schema import steps

pytestmark = pytest.mark.stack
BATCH, CHAIN, ESCALATION = "batch_processing_workflow", "task_chain_workflow", "request_escalation"
END_SECONDS = 120.0
LIMIT = 20
TOO_LARGE_AFTER = 2**52
"""Twice an item beyond it is more than the partner service takes."""


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def workshop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack whose worker these tests may kill."""
    with system_on(request.param, tmp_path_factory) as running:
        yield running


def batch(batch_id: str, count: int, **fields: Any) -> Event:
    return event("com.acme.batch.submitted.v1", {"batch_id": batch_id, "count": count, **fields}, source="/warehouse")


def chain(chain_id: str, value: int) -> Event:
    return event("com.acme.task-chain.submitted.v1", {"chain_id": chain_id, "value": value}, source="/warehouse")


def escalation(request_id: str, data: Any = None, **fields: Any) -> Event:
    order = data or {"request_id": request_id, "amount": 1800, "requester": "carol", **fields}
    return event("com.acme.order.approval-requested.v1", order, source="/orders")


def items_of(system: RunningSystem, batch_id: str) -> list[dict[str, Any]]:
    """What the partner service truly did to the items of this batch: body and how often its key was sent."""
    wanted: dict[str, str | int] = {"kind": "work-items.worked-on", "limit": 100_000}
    answer = httpx2.get(f"{system.state.partners_url}/effects", params=wanted, trust_env=False, timeout=10)
    return [one for one in answer.raise_for_status().json()["effects"] if one["body"]["batch_id"] == batch_id]


def done_items(system: RunningSystem, case: Row[Any]) -> int:
    mine = (steps.c.instance_id == case.instance_id, steps.c.step == "process_work_item")
    query = select(func.count()).select_from(steps).where(*mine)
    return int(system.ledger.read(lambda tx: tx.run(query).scalar_one()))


def failed(system: RunningSystem, key: str, workflow: str) -> Row[Any]:
    """The case, once ledger and engine both say that it has failed."""

    def ended() -> Row[Any] | None:
        case = system.case(key, workflow)
        return case if case is not None and case.phase == "closed" else None

    case = eventually(ended, END_SECONDS, f"{key} has ended")
    eventually(lambda: system.engine_status(case.instance_id) == "FAILED", END_SECONDS, f"{key} is FAILED in the engine")
    assert case.outcome == "failed"
    return case


def test_a_batch_is_done_in_rounds_and_its_sum_is_published(workshop: RunningSystem) -> None:
    key = fresh("B")
    workshop.send(batch(key, 120))
    case = workshop.closed(key, BATCH, END_SECONDS)
    result = {"batch_id": key, "status": "completed", "total": 120 * 121, "processed": 120, "failed": 0, "failures": []}
    assert json.loads(case.result) == result
    assert workshop.outcome(key)["data"]["result"] == result
    assert Counter(one["body"]["item"] for one in items_of(workshop, key)) == Counter(range(1, 121))
    state = workshop.engine.state(case.instance_id)
    assert state is not None
    assert state.custom_status == {"done": 120, "failed": 0, "of": 120}


def test_a_worker_killed_in_the_middle_does_only_the_unfinished_items_again(workshop: RunningSystem) -> None:
    key, count = fresh("B"), 240
    workshop.send(batch(key, count, limit=LIMIT))
    case = eventually(lambda: workshop.case(key, BATCH), END_SECONDS, "the case is open")
    eventually(lambda: done_items(workshop, case) > count // 2, END_SECONDS, "half of the items are done")
    before = workshop.stack.kill("worker")
    done = {one["body"]["item"]: one["calls"] for one in items_of(workshop, key)}
    recorded = done_items(workshop, case)
    eventually(lambda: workshop.stack.process("worker").pid not in (before, None), END_SECONDS, "another worker was started")
    assert json.loads(workshop.closed(key, BATCH, END_SECONDS).result)["total"] == count * (count + 1)
    effects = items_of(workshop, key)
    assert Counter(one["body"]["item"] for one in effects) == Counter(range(1, count + 1)), "no effect twice, none missing"
    again = sum(one["calls"] - 1 for one in effects)
    assert again <= LIMIT, "only what was at work when the worker died"
    assert recorded >= len(done) - LIMIT


def test_an_item_that_is_refused_ends_its_batch_unless_failures_are_collected(workshop: RunningSystem) -> None:
    fatal, collected = fresh("B"), fresh("B")
    workshop.send(batch(fatal, 10, offset=TOO_LARGE_AFTER - 4, limit=1))
    workshop.send(batch(collected, 10, offset=TOO_LARGE_AFTER - 4, limit=3, on_failure="collect"))
    case = failed(workshop, fatal, BATCH)
    assert "9007199254740991" in case.reason
    assert len(items_of(workshop, fatal)) == 3
    result = json.loads(workshop.closed(collected, BATCH, END_SECONDS).result)
    assert (result["processed"], result["failed"], len(result["failures"])) == (3, 7, 7)


def test_a_chain_takes_its_three_steps(workshop: RunningSystem) -> None:
    key = fresh("C")
    workshop.send(chain(key, 10))
    assert json.loads(workshop.closed(key, CHAIN, END_SECONDS).result) == [11, 22, 20]
    assert workshop.outcome(key)["data"]["result"] == [11, 22, 20]


def test_a_chain_that_fails_tells_its_error_handler_and_fails_and_its_first_step_was_taken_once(workshop: RunningSystem) -> None:
    key = fresh("C")
    workshop.send(chain(key, 2**53 - 2))
    case = failed(workshop, key, CHAIN)
    assert case.reason.startswith("step2: result: ")
    assert workshop.effects(f"{key}/step1") == [("chain-steps.taken", 1)]
    assert workshop.effects(f"{key}/step2") == []
    assert workshop.effects(key) == [("chain-errors.reported", 1)]


@pytest.mark.parametrize(("approved", "outcome"), [(True, "approved"), (False, "rejected")])
def test_a_human_decides_on_an_escalation(workshop: RunningSystem, approved: bool, outcome: str) -> None:
    key = fresh("E")
    workshop.send(escalation(key))
    workshop.waiting_for("approval", key, ESCALATION)
    workshop.send(decision(workflow=ESCALATION, request_id=key, approved=approved))
    case = workshop.closed(key, ESCALATION)
    assert (case.outcome, json.loads(case.result)["approver"]) == (outcome, "bob")
    assert [body["decision"]["status"] for body in workshop.effect_bodies(key)] == [outcome]


def test_a_small_order_is_approved_by_itself_also_when_its_data_is_encoded_twice(workshop: RunningSystem) -> None:
    key = fresh("E")
    workshop.send(escalation(key, json.dumps({"request_id": key, "amount": 250})))
    assert workshop.closed(key, ESCALATION).outcome == "auto_approved"
    assert workshop.effects(key) == [("escalations.settled", 1)]


def test_an_order_without_an_amount_is_rejected_at_the_door(workshop: RunningSystem) -> None:
    sent = escalation("", {"request_id": fresh("E"), "requester": "carol"})
    workshop.send(sent)
    assert "amount" in workshop.settled(sent, "rejected").reason
