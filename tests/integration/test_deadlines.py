"""What nobody decides or pays in time ends by itself, with the seeds' results; what came in time counts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from running_system import PURCHASES, RunningSystem
from shop_events import decision, fresh, payment, purchase, request, task
from stack_pairs import MAIN_PAIRS, name_of, system_on
from waiting import eventually

pytestmark = pytest.mark.stack
APPROVALS, TASKS = "approval_workflow", "task_approval_workflow"
SHORT = {
    "SAYSO_APPROVAL__TIMEOUT": "PT3S",
    "SAYSO_TASK__MANAGER_TIMEOUT": "PT3S",
    "SAYSO_TASK__TOTAL_TIMEOUT": "PT3S",
    "SAYSO_PURCHASE__APPROVAL_TIMEOUT": "PT3S",
    "SAYSO_PURCHASE__PAYMENT_TIMEOUT": "PT3S",
}


@pytest.fixture(scope="module", params=MAIN_PAIRS, ids=name_of)
def hasty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack whose deadlines are three seconds away."""
    with system_on(request.param, tmp_path_factory, **SHORT) as running:
        yield running


def test_what_nobody_decides_times_out_with_the_results_of_the_seeds(hasty: RunningSystem) -> None:
    order, asked, job = fresh("PO"), fresh("REQ"), fresh("T")
    hasty.send(purchase(order), request(asked), task(job))
    reason = "No approval received within 3 seconds"

    bought = hasty.closed(order)
    assert (bought.outcome, json.loads(bought.result), bought.reason) == ("timed_out", "Cancelled", reason)
    assert hasty.effects(order) == [("orders.cancelled", 1)]

    approval = hasty.closed(asked, APPROVALS)
    assert approval.outcome == "timed_out"
    assert json.loads(approval.result) == {"status": "timeout", "request_id": asked, "reason": reason}
    assert hasty.effects(asked) == []
    told = eventually(lambda: hasty.notices(approval.instance_id)[1:], 10, "the notice about the time-out")
    assert [(one.notice.notice_id.split("/")[1], one.notice.recipient) for one in told] == [("send_timeout_notification", "alice")]

    assigned = hasty.closed(job, TASKS)
    assert (assigned.outcome, json.loads(assigned.result)["status"]) == ("timed_out", "timeout")
    assert hasty.effects(job) == []
    for case, state in ((bought, "expired"), (approval, "expired"), (assigned, "cancelled")):  # a task's time in all was over
        asked_of = hasty.task(case.instance_id)
        assert asked_of is not None
        assert (asked_of.state, asked_of.decision) == (state, None)
        assert hasty.outcome(case.key)["data"]["outcome"] == "timed_out"


def test_a_decision_after_the_deadline_is_late_and_changes_nothing(hasty: RunningSystem) -> None:
    order, late = fresh("PO"), None
    hasty.send(purchase(order))
    closed = hasty.closed(order)
    late = decision(order_id=order)
    hasty.send(late)
    row = hasty.settled(late, "late")
    assert row.reason == f"{closed.instance_id} has ended (timed_out)"
    assert hasty.case(order) == closed


def test_an_order_that_nobody_pays_is_cancelled(hasty: RunningSystem) -> None:
    order = fresh("PO")
    hasty.send(decision(order_id=order), purchase(order))
    closed = hasty.closed(order)
    assert (closed.outcome, closed.reason) == ("payment_failed", "No payment received within 3 seconds")
    assert json.loads(closed.result) == "Cancelled"
    assert json.loads(closed.milestones) == ["approved", "placed", "cancelled"]
    assert hasty.effects(order) == [("orders.placed", 1), ("orders.cancelled", 1)]


def test_events_that_came_in_time_count_while_everything_is_short(hasty: RunningSystem) -> None:
    order = fresh("PO")
    hasty.send(decision(order_id=order), payment(order), purchase(order))
    assert hasty.closed(order, PURCHASES).outcome == "completed"
