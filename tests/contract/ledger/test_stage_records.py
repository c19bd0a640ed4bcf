"""Approvals in stages as the ledger records them: rebuilt from the engine, rerun after a failure, amended and declined."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from ledger_world import World

from sayso.contracts.approval_plan import ApprovalPlan, Seat, StagePlan, Wait
from sayso.contracts.approval_state import Answer, ApprovalState, Ballot
from sayso.contracts.workflow_io import Account, ApprovalNote, CaseInput, RaisedEvent, StepInput
from sayso.correlation.bindings import Bindings
from sayso.errors import MalformedError
from sayso.gate.voting import decide
from sayso.ledger import Ledger
from sayso.ledger.acts import retry
from sayso.ledger.database import Transaction
from sayso.ledger.deciding import amend_request, open_stages
from sayso.ledger.outbox import moment
from sayso.ledger.planning import SettingsAlone
from sayso.ledger.queries.cases import case_by_id
from sayso.ledger.queries.overview import list_tasks
from sayso.ledger.rebuilding import record_account
from sayso.ledger.schema import audit, case_keys, cases, events, notices, outbox, steps, tasks
from sayso.ledger.steps import complete_step

TABLES = (audit, outbox, notices, tasks, steps, cases, events, case_keys)


class House(SettingsAlone):
    """Bob, then dave; a request without a price has no answer."""

    def plan(self, _workflow: str, request: dict[str, Any], _now: datetime) -> ApprovalPlan | None:
        if request["product"] == "secret":
            raise MalformedError("no rule knows it")
        known = {"wait": Wait(seconds=3600), "fields": ("cost",), "forbidden": ("alice",)}
        names = (("manager", "bob"), ("director", "dave"))
        stages = [StagePlan(name=name, asked=(who,), seats=(Seat(holder=who),), **known) for name, who in names]
        rounds = tuple((stage,) for stage in stages)
        return ApprovalPlan(policy="p", version="1", policy_hash="h", request_hash=request["cost"], rule="r", rounds=rounds)


@pytest.fixture
def world(ledger: Ledger) -> World:
    world = World(ledger)
    world.rules = replace(world.rules, policies=House())
    world.buy()
    world.decide(approver="bob")
    world.drive()
    return world


def given(world: World) -> CaseInput:
    return CaseInput.model_validate_json(world.case.input)


def after_bob(world: World) -> ApprovalState:
    plan = given(world).plan
    assert plan.approval is not None
    assert plan.approval_begun is not None
    ballot = Ballot(person="bob", answer=Answer.APPROVE, seq=world.events[1].seq)
    state = decide(plan.approval, plan.approval_begun, ballot, moment(world.events[1].received_at_ms))
    assert isinstance(state, ApprovalState)
    return state


def do(world: World, step: StepInput, act: Any = open_stages) -> dict[str, Any]:
    def record(tx: Transaction) -> dict[str, Any]:
        return complete_step(tx, step, act(tx, step, world.rules.policies))

    return world.ledger.transact(record)


def opening(world: World) -> StepInput:
    return StepInput(case=world.ref, step="open_stages", used=[world.events[1].seq], approval=after_bob(world))


def states(world: World) -> dict[str, str]:
    return {row.stage: row.state for row in world.rows(tasks)}


def test_the_first_stage_is_opened_with_the_case_and_its_times_are_in_the_workflows_input(world: World) -> None:
    begun = given(world).plan.approval_begun
    assert begun is not None
    assert [stage.name for stage in begun.open_stages] == ["manager"]
    assert begun.open_stages[0].due_at == world.ref.opened_at + timedelta(hours=1)
    assert states(world) == {"manager": "open"}


def test_a_stage_that_is_opened_once_more_keeps_its_times(world: World) -> None:
    first = do(world, opening(world))
    assert do(world, opening(world)) == first
    assert states(world) == {"manager": "decided", "director": "open"}
    assert [row.action for row in world.rows(audit)].count("decided-approve") == 1


def test_an_approval_is_rebuilt_from_the_engine_with_its_votes_and_its_times(world: World) -> None:
    step = opening(world)
    result = do(world, step)
    before = [row._mapping for row in world.rows(tasks)]
    row = world.events[1]
    raised = RaisedEvent(
        seq=row.seq,
        identity=row.identity,
        name=row.event_name,
        received_at=moment(row.received_at_ms),
        data=json.loads(row.payload),
    )
    account = Account(given=given(world), raised=[raised], steps=[(step, result)])
    for table in TABLES:
        world.ledger.transact(lambda tx, table=table: tx.run(table.delete()))
    assert world.ledger.transact(partial(record_account, account=account, bindings=Bindings(())))
    again = [row._mapping for row in world.rows(tasks)]
    assert [{**one, "decided_at_ms": None} for one in again] == [{**one, "decided_at_ms": None} for one in before]
    assert "consumed" in world.states


def test_a_failed_case_goes_on_with_its_stages_and_one_that_nobody_had_decided_begins_them_anew(world: World) -> None:
    do(world, opening(world))
    world.change(cases, phase="closed", outcome="failed", ended_as="FAILED")
    answer = world.ledger.transact(partial(retry, instance_id=world.ref.instance_id, rules=world.rules, actor="root", reason="mended"))
    found = {(row.instance_id, row.stage): row.state for row in world.rows(tasks)}
    assert found[answer.case, "manager"] == "decided"
    assert found[answer.case, "director"] == "open"


def amending(world: World, **changes: Any) -> StepInput:
    note = ApprovalNote(action="amended", actor="alice", detail={"changes": changes})
    plan = given(world).plan
    return StepInput(
        case=world.ref,
        step="amend_request",
        arguments={"changes": changes, "is_direct": False},
        used=[world.events[1].seq],
        approval=plan.approval_begun,
        notes=[note],
    )


def test_an_amended_request_is_what_everybody_sees_from_then_on(world: World) -> None:
    result = do(world, amending(world, cost="1500.00"), amend_request)
    assert result["amended"]["changed"] == ["cost"]
    assert result["amended"]["approval"]["request_version"] == 2
    assert states(world) == {"manager": "cancelled", "manager/2": "open"}
    (task,) = world.ledger.read(list_tasks)
    assert "1500.00" in task.what
    view = world.ledger.read(partial(case_by_id, instance_id=world.ref.instance_id))
    assert view is not None
    assert view.request["cost"] == "1500.00"
    assert given(world).request["cost"] == "1200"
    assert "approval-amended" in world.audit_actions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cost": "free"}, "the request would be malformed: `cost`"),
        ({"order_id": "PO-2"}, "order_id cannot be changed"),
        ({"requester": "mallory"}, "requester cannot be changed"),
        ({"cost": "1200"}, "it changes nothing"),
        ({"colour": "red"}, "it changes nothing"),
        ({"product": "secret"}, "no rule knows it"),
    ],
)
def test_an_amendment_that_cannot_be_is_refused_and_leaves_all_as_it_was(world: World, changes: dict[str, Any], words: str) -> None:
    result = do(world, amending(world, **changes), amend_request)
    assert result["declined"].startswith(words)
    assert states(world) == {"manager": "open"}
    assert world.states == ["started", "refused"]
    assert world.case.amended is None
    assert "approval-amended" not in world.audit_actions
    assert [topic for topic, _ in world.published].count("refusals") == 1
