"""Every example event is what its README says: the verdict, and for what reaches a case the gate's answer too."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_files import EVENTS, bindings_with_own_event, shipped_bindings
from jsonschema import Draft202012Validator

from sayso.contracts.catalog import EVENT_TYPES
from sayso.contracts.workflow_io import RaisedEvent
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Record, Rejected, Resume, Start, Unmatched
from sayso.gate import Decision, Refused, Stage, decide
from sayso.policy import POLICIES
from sayso.schemas.payloads import payload_schema
from sayso.settings import Settings

PURCHASE, APPROVAL, TASK = "purchase_order_workflow", "approval_workflow", "task_approval_workflow"
ORDER = "order_saga"

ESCALATION, BATCH, CHAIN = "request_escalation", "batch_processing_workflow", "task_chain_workflow"

STARTS = {  # file: (workflow, key, approved by itself)
    "purchase-requested.json": (PURCHASE, "PO-1001", False),
    "purchase-below-threshold.json": (PURCHASE, "PO-1002", True),
    "request-submitted.json": (APPROVAL, "R-2001", False),
    "request-below-threshold.json": (APPROVAL, "R-2002", True),
    "task-requested.json": (TASK, "T-3001", False),
    "task-low-priority.json": (TASK, "T-3002", True),
    "task-submitted.json": ("task_processing_saga", "T-4001", True),
    "order-placed.json": (ORDER, "O-5001", True),
    "order-placed-large.json": (ORDER, "O-5002", False),
    "trip-requested.json": ("book_trip", "TR-6001", True),
    "escalation-requested.json": (ESCALATION, "E-4001", False),
    "escalation-below-threshold.json": (ESCALATION, "E-4002", True),
    "batch-submitted.json": (BATCH, "B-5001", True),
    "batch-collect.json": (BATCH, "B-5002", True),
    "task-chain-submitted.json": (CHAIN, "C-6001", True),
    "task-chain-too-large.json": (CHAIN, "C-6002", True),
    "health-monitor-started.json": ("health_monitor_workflow", "partners", True),
    "status-monitor-started.json": ("status_monitor_workflow", "print-queue", True),
    "job-monitor-started.json": ("job_status_monitor", "nightly-report", True),
}
RESUMES = {
    "purchase-withdrawn.json": (PURCHASE, "PO-1001", "withdraw_requested"),
    "purchase-amended.json": (PURCHASE, "PO-1001", "change_requested"),
    "request-withdrawn.json": (APPROVAL, "R-2001", "change_requested"),
    "request-amended.json": (APPROVAL, "R-2001", "change_requested"),
    "task-withdrawn.json": (TASK, "T-3001", "change_requested"),
    "task-amended.json": (TASK, "T-3001", "change_requested"),
    "order-withdrawn.json": (ORDER, "O-5002", "change_requested"),
    "escalation-withdrawn.json": (ESCALATION, "E-4001", "change_requested"),
    "approval-delegated.json": (PURCHASE, "PO-1001", "change_requested"),
    "decision-approve.json": (PURCHASE, "PO-1001", "approval_received"),
    "decision-reject.json": (PURCHASE, "PO-1001", "approval_received"),
    "decision-approver-only.json": (PURCHASE, "PO-1001", "approval_received"),
    "decision-own-request.json": (PURCHASE, "PO-1001", "approval_received"),
    "decision-approved-only.json": (APPROVAL, "R-2001", "approval_received"),
    "decision-request-approve.json": (APPROVAL, "R-2001", "approval_received"),
    "decision-request-reject.json": (APPROVAL, "R-2001", "approval_received"),
    "decision-by-workflow-and-key.json": (APPROVAL, "R-2001", "approval_received"),
    "decision-task-approve.json": (TASK, "T-3001", "approval_received"),
    "decision-order-approve.json": (ORDER, "O-5002", "approval_received"),
    "order-payment-captured.json": (ORDER, "O-5001", "payment_received"),
    "order-payment-failed.json": (ORDER, "O-5001", "payment_failed"),
    "decision-escalation-approve.json": (ESCALATION, "E-4001", "human_approval"),
    "decision-escalation-reject.json": (ESCALATION, "E-4001", "human_approval"),
    "payment-captured.json": (PURCHASE, "PO-1001", "payment_received"),
    "payment-wrong-amount.json": (PURCHASE, "PO-1001", "payment_received"),
    "payment-wrong-currency.json": (PURCHASE, "PO-1001", "payment_received"),
    "payment-failed.json": (PURCHASE, "PO-1001", "payment_failed"),
    "health-monitor-changed.json": ("health_monitor_workflow", "partners", "monitor_changed"),
    "health-monitor-paused.json": ("health_monitor_workflow", "partners", "monitor_paused"),
    "health-monitor-resumed.json": ("health_monitor_workflow", "partners", "monitor_resumed"),
    "health-monitor-stopped.json": ("health_monitor_workflow", "partners", "monitor_stopped"),
    "status-monitor-changed.json": ("status_monitor_workflow", "print-queue", "monitor_changed"),
    "status-monitor-paused.json": ("status_monitor_workflow", "print-queue", "monitor_paused"),
    "status-monitor-resumed.json": ("status_monitor_workflow", "print-queue", "monitor_resumed"),
    "status-monitor-stopped.json": ("status_monitor_workflow", "print-queue", "monitor_stopped"),
    "job-monitor-changed.json": ("job_status_monitor", "nightly-report", "monitor_changed"),
    "job-monitor-paused.json": ("job_status_monitor", "nightly-report", "monitor_paused"),
    "job-monitor-resumed.json": ("job_status_monitor", "nightly-report", "monitor_resumed"),
    "job-monitor-stopped.json": ("job_status_monitor", "nightly-report", "monitor_stopped"),
}
OTHERS = {
    "payment-authorized.json": (Record, "payment-authorized"),
    "decision-for-two-cases.json": (Unmatched, "2 bindings take it (purchase-decided, request-decided)"),
    "purchase-unknown-type.json": (Unmatched, 'no binding for type "com.acme.purchase.changed.v1" on topic "purchases"'),
    "purchase-without-key.json": (Rejected, 'the event has no "order_id"'),
    "escalation-without-amount.json": (Rejected, "`amount`: field required"),
    "purchase-wrong-field-type.json": (Rejected, "`cost`: an amount is a number"),
}
DECISIONS = {  # file: approved by whom, or the words of the refusal
    "decision-approve.json": (True, "alice"),
    "decision-reject.json": (False, "bob"),
    "decision-approver-only.json": (True, "alice"),
    "decision-own-request.json": (None, "carol is the requester"),
    "decision-approved-only.json": (None, "names no approver"),
    "decision-request-approve.json": (True, "alice"),
    "decision-request-reject.json": (False, "bob"),
    "decision-by-workflow-and-key.json": (True, "alice"),
    "decision-task-approve.json": (True, "alice"),
    "decision-order-approve.json": (True, "alice"),
    "decision-escalation-approve.json": (True, "alice"),
    "decision-escalation-reject.json": (False, "bob"),
}


def listed() -> dict[str, str]:
    """File → topic, as the README lists them."""
    text = (EVENTS / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \[([^]]+\.json)\]\(\1\) \| `([^`]+)` \| .+ \|$", text, re.MULTILINE))


def verdict_of(name: str) -> Any:
    return correlate(shipped_bindings(), listed()[name], (EVENTS / name).read_bytes())


def test_the_readme_lists_every_example_and_each_is_tested() -> None:
    files = {path.relative_to(EVENTS).as_posix() for path in EVENTS.rglob("*.json")}
    assert set(listed()) == files
    assert {name for name in files if "/" not in name} == STARTS.keys() | RESUMES.keys() | OTHERS.keys()


def test_every_inbound_type_has_an_example() -> None:
    shown = {json.loads(path.read_text(encoding="utf-8"))["type"] for path in EVENTS.rglob("*.json")}
    assert shown >= {name for name, kind in EVENT_TYPES.items() if kind.direction == "in"}


def test_no_two_examples_share_an_identity() -> None:
    events = [json.loads(path.read_text(encoding="utf-8")) for path in EVENTS.rglob("*.json")]
    assert len({(event["source"], event["id"]) for event in events}) == len(events)


@pytest.mark.parametrize("name", [*STARTS, *RESUMES])
def test_a_good_example_fits_the_published_schema(name: str) -> None:
    event = json.loads((EVENTS / name).read_text(encoding="utf-8"))
    data = json.loads(event["data"]) if isinstance(event["data"], str) else event["data"]  # encoded twice
    assert not list(Draft202012Validator(payload_schema(event["type"])).iter_errors(data))


@pytest.mark.parametrize("name", STARTS)
def test_an_example_starts_its_case(name: str) -> None:
    workflow, key, automatic = STARTS[name]
    verdict = verdict_of(name)
    assert isinstance(verdict, Start)
    assert (verdict.workflow, verdict.key) == (workflow, key)
    policy = POLICIES[workflow]
    assert policy.automatic(policy.plan(Settings()), verdict.request) is automatic


@pytest.mark.parametrize("name", RESUMES)
def test_an_example_wakes_its_case(name: str) -> None:
    verdict = verdict_of(name)
    assert isinstance(verdict, Resume)
    assert (verdict.workflow, verdict.key, verdict.event_name) == RESUMES[name]


@pytest.mark.parametrize("name", OTHERS)
def test_an_example_without_a_case_says_why(name: str) -> None:
    kind, words = OTHERS[name]
    verdict = verdict_of(name)
    assert isinstance(verdict, kind)
    assert words in (verdict.binding if isinstance(verdict, Record) else verdict.reason)


@pytest.mark.parametrize("name", DECISIONS)
def test_the_gate_answers_an_example_as_the_readme_says(name: str) -> None:
    verdict = verdict_of(name)
    now = datetime.now(UTC)
    stage = Stage(verdict.workflow, "carol", now + timedelta(hours=1), accept_raw_raise=False)
    raised = RaisedEvent(seq=1, identity="i", name=verdict.event_name, received_at=now, data=verdict.payload)
    answer = decide(stage, raised)
    approved, words = DECISIONS[name]
    if approved is None:
        assert isinstance(answer, Refused)
        assert words in answer.reason
    else:
        assert isinstance(answer, Decision)
        assert (answer.approved, answer.approver) == (approved, words)


def test_an_own_event_type_starts_a_workflow_without_python(tmp_path: Path) -> None:
    bindings = bindings_with_own_event(tmp_path)
    assert "expenses" in bindings.topics
    verdict = correlate(bindings, "expenses", (EVENTS / "own-event" / "expense-submitted.json").read_bytes())
    assert isinstance(verdict, Start)
    assert (verdict.workflow, verdict.key) == (APPROVAL, "expense-77")
    assert verdict.request == {
        "request_id": "expense-77",
        "requester": "carol",
        "amount": "1480.35",
        "currency": "EUR",
        "description": "Expenses: Trip to Vienna",
    }
    decided = correlate(bindings, "approvals", (EVENTS / "own-event" / "expense-decided.json").read_bytes())
    assert isinstance(decided, Resume)
    assert (decided.workflow, decided.key) == (verdict.workflow, verdict.key)
    ruled = correlate(bindings, "expenses", (EVENTS / "own-event" / "expense-ruled.json").read_bytes())
    assert isinstance(ruled, Resume)
    assert (ruled.workflow, ruled.key, ruled.event_name) == (verdict.workflow, verdict.key, "approval_received")
    assert (ruled.payload["approved"], ruled.payload["approver"]) == (True, "alice")


def test_the_bindings_guide_shows_the_tested_snippet() -> None:
    guide = (EVENTS.parents[1] / "docs" / "bindings.md").read_text(encoding="utf-8")
    snippet = (EVENTS / "own-event" / "bindings.yaml").read_text(encoding="utf-8")
    rules = snippet.split("\n", 1)[1].split("\n\n")
    assert len(rules) == 2
    assert not [rule for rule in rules if rule.strip("\n") not in guide]
