"""task_approval_workflow, as docs/seeds.md says it (Task approval; one stage)."""

from __future__ import annotations

from typing import Any

import pytest

from sayso.contracts.workflow_io import TaskDecision
from sayso.settings import Settings


def test_a_task_of_low_priority_is_approved_by_itself(open_task: Any) -> None:
    case = open_task(priority="low")
    assert case.run.result == {"status": "auto_approved", "task_id": "T-1", "reason": "Low priority"}
    assert case.run.call_names == ["close_case"]
    assert (case.steps[0].notices, case.closing.outcome) == ([], "auto_approved")


@pytest.mark.parametrize("priority", ["medium", "normal", "high", "urgent", "critical"])
def test_a_task_of_any_other_known_priority_waits_for_the_manager(open_task: Any, priority: str) -> None:
    assert open_task(priority=priority).run.status == "RUNNING"


def test_an_approved_task_is_assigned(open_task: Any) -> None:
    case = open_task()
    case.approve("bob")
    assert case.run.result == {"status": "approved", "task_id": "T-1", "approver": "bob"}
    assert case.run.call_names == ["assign_task"]
    step = case.step("assign_task")
    assert step.arguments == {"task_id": "T-1", "title": "Inspect", "assignee": "carol", "priority": "high", "requester": "alice"}
    assert (step.decision, step.used) == (TaskDecision(decision="approve", decided_by="bob"), [11])
    assert (case.closing.outcome, case.closing.milestones) == ("approved", ["approved"])


def test_a_rejected_task_tells_its_requester(open_task: Any) -> None:
    case = open_task()
    case.reject("bob", "not now")
    assert case.run.result == {"status": "rejected", "task_id": "T-1", "approver": "bob", "reason": "not now"}
    (notice,) = case.step("close_case").notices
    assert (notice.name, notice.recipient) == ("send_rejection_notification", "alice")


def test_without_a_requester_the_assignee_is_told_and_may_not_be_confused_with_one(open_task: Any) -> None:
    case = open_task(requester=None)
    case.reject("alice")
    (notice,) = case.step("close_case").notices
    assert notice.recipient == "carol"


@pytest.mark.parametrize(("settings", "words"), [(Settings(), "48 hours"), (Settings(task={"manager_timeout": "PT2H"}), "2 hours")])
def test_a_task_that_nobody_decides_times_out_in_the_words_of_the_setting(open_task: Any, settings: Settings, words: str) -> None:
    case = open_task(settings)
    case.run.advance(settings.task.manager_timeout)
    assert case.run.status == "RUNNING"
    case.pass_time(seconds=1)
    reason = f"No approval received within {words}"
    assert case.run.result == {"status": "timeout", "task_id": "T-1", "reason": reason}
    assert (case.closing.outcome, case.closing.reason) == ("timed_out", reason)
    (notice,) = case.step("close_case").notices
    assert (notice.name, notice.recipient) == ("send_timeout_notification", "alice")


def test_the_requester_does_not_approve_an_own_task(open_task: Any) -> None:
    case = open_task()
    case.approve("Alice")
    assert case.refusals == {11: "Alice is the requester; nobody decides on an own request"}
    assert case.run.status == "RUNNING"


def test_a_task_that_cannot_be_assigned_ends_as_failed(open_task: Any) -> None:
    case = open_task(refusals={"assign_task": "carol has left"})
    case.approve("bob")
    assert case.run.result == {"status": "failed", "task_id": "T-1", "reason": "carol has left"}
    assert (case.run.call_names, case.closing.outcome) == (["assign_task", "close_case"], "failed")


@pytest.mark.parametrize("decision", [{"approved": True}, {"approver": "bob"}])
def test_a_decision_without_approver_or_without_answer_is_refused(open_task: Any, decision: Any) -> None:
    case = open_task()
    case.receive(case.decided(**decision))
    assert (case.run.status, list(case.refusals)) == ("RUNNING", [11])
