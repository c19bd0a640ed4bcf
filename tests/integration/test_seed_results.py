"""approval_workflow and task_approval_workflow end with exactly the results that the seed documents name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from running_system import RunningSystem
from shop_events import decision, fresh, request, task
from waiting import eventually

pytestmark = pytest.mark.stack
APPROVALS, TASKS = "approval_workflow", "task_approval_workflow"


def result_of(system: RunningSystem, key: str, workflow: str) -> tuple[str, Any]:
    """Outcome and result, the same in ledger, engine and on the topic."""
    case = system.closed(key, workflow)
    result = json.loads(case.result)
    state = system.engine.state(case.instance_id)
    assert state is not None
    assert state.output == result
    outcome = system.outcome(key)["data"]
    assert (outcome["outcome"], outcome["result"]) == (case.outcome, result)
    return case.outcome, result


def notices_of(system: RunningSystem, key: str, workflow: str, count: int) -> list[tuple[str, str, str]]:
    """(name, recipient, text) of the notices of this case, once there are so many."""
    case = system.case(key, workflow)
    assert case is not None
    seen = eventually(
        lambda: found if len(found := system.notices(case.instance_id)) == count else None, 10, f"{count} notices of {key}"
    )
    return [(one.notice.notice_id.split("/")[1], one.notice.recipient, one.notice.body) for one in seen]


def test_a_small_request_is_approved_by_itself_and_nobody_hears_of_it(system: RunningSystem) -> None:
    key = fresh("REQ")
    system.send(request(key, 999))
    assert result_of(system, key, APPROVALS) == (
        "auto_approved",
        {"status": "auto_approved", "request_id": key, "reason": "Amount below approval threshold"},
    )
    assert system.effects(key) == []
    case = system.case(key, APPROVALS)
    assert case is not None
    assert system.notices(case.instance_id) == []
    assert system.task(case.instance_id) is None


def test_an_approved_request_is_executed_and_confirmed(system: RunningSystem) -> None:
    key = fresh("REQ")
    sent = decision(request_id=key, reason="go")
    system.send(request(key, 1000))
    system.waiting_for("approval", key, APPROVALS)
    system.send(sent)
    assert result_of(system, key, APPROVALS) == ("approved", {"status": "approved", "request_id": key, "approver": "bob"})
    assert system.effects(key) == [("actions.executed", 1)]
    asked, told = notices_of(system, key, APPROVALS, 2)
    assert asked[:2] == ("send_approval_request", "managers")
    assert told == ("send_approval_confirmation", "alice", "Approved by bob")
    system.settled(sent, "consumed")


def test_a_rejected_request_is_not_executed_and_its_requester_hears_why(system: RunningSystem) -> None:
    key = fresh("REQ")
    system.send(request(key))
    system.waiting_for("approval", key, APPROVALS)
    system.send(decision(request_id=key, approved=False, reason="no budget"))
    assert result_of(system, key, APPROVALS) == (
        "rejected",
        {"status": "rejected", "request_id": key, "approver": "bob", "reason": "no budget"},
    )
    assert system.effects(key) == []
    assert notices_of(system, key, APPROVALS, 2)[1] == ("send_rejection_notification", "alice", "Rejected by bob: no budget")


def test_a_decision_may_name_its_case_by_workflow_and_key(system: RunningSystem) -> None:
    key = fresh("REQ")
    system.send(request(key))
    system.waiting_for("approval", key, APPROVALS)
    system.send(decision(workflow=APPROVALS, key=key))
    assert result_of(system, key, APPROVALS)[0] == "approved"


def test_a_task_of_low_priority_is_approved_by_itself(system: RunningSystem) -> None:
    key = fresh("T")
    system.send(task(key, "low"))
    assert result_of(system, key, TASKS)[0] == "auto_approved"
    assert system.effects(key) == []


@pytest.mark.parametrize("priority", ["medium", "normal", "high", "urgent", "critical"])
def test_a_task_of_every_other_known_priority_is_asked_for_and_assigned_when_approved(system: RunningSystem, priority: str) -> None:
    key = fresh("T")
    system.send(task(key, priority))
    system.waiting_for("approval", key, TASKS)
    system.send(decision(task_id=key, by="carol"))
    assert result_of(system, key, TASKS) == ("approved", {"status": "approved", "task_id": key, "approver": "carol"})
    assert system.effects(key) == [("tasks.assigned", 1)]


def test_a_rejected_task_is_not_assigned(system: RunningSystem) -> None:
    key = fresh("T")
    system.send(task(key))
    system.waiting_for("approval", key, TASKS)
    system.send(decision(task_id=key, approved=False, by="carol", reason="not now"))
    assert result_of(system, key, TASKS) == (
        "rejected",
        {"status": "rejected", "task_id": key, "approver": "carol", "reason": "not now"},
    )
    assert system.effects(key) == []


def test_the_same_key_in_three_workflows_is_three_matters(system: RunningSystem) -> None:
    key = fresh("X")
    system.send(request(key), task(key))
    system.waiting_for("approval", key, APPROVALS)
    system.waiting_for("approval", key, TASKS)
    system.send(decision(request_id=key))
    assert result_of(system, key, APPROVALS)[0] == "approved"
    system.waiting_for("approval", key, TASKS)
