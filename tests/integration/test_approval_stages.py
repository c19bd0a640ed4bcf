"""Approvals by a policy's plan on the real runtime: stages with a quorum, escalation, the time in all, and changes of mind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_system import PURCHASES, RunningSystem
from shop_events import Event, decision, event, fresh, payment, purchase, withdrawal
from sqlalchemy import select
from stack_pairs import system_on
from waiting import eventually

from sayso.ledger.schema import audit, tasks
from sayso.settings import Settings
from sayso.testing.stack import PROJECT
from sayso.workflows import Workflows

pytestmark = pytest.mark.stack

DIRECTORY = """\
default: {notify: [sayso-file://]}
users: {alice: {name: A}, bob: {name: B}, carol: {name: C}, dave: {name: D}, erin: {name: E}, frank: {name: F}, gina: {name: G}}
groups: {managers: {name: Managers, members: [bob, carol]}}
"""
POLICY = """\
name: staged
version: 1
workflow: purchase_order_workflow
rules:
  - name: escalates
    when: request.product == "escalates"
    stages:
      - name: manager
        approvers: {group: managers}
        deadline: PT3S
        reminders: [PT1S]
        escalate: {name: director, approvers: {user: dave}, deadline: PT10M, then: reject}
  - name: hurries
    when: request.product == "hurries"
    deadline_in_all: PT4S
    stages:
      - name: manager
        approvers: {group: managers}
        deadline: PT2S
        escalate: {name: director, approvers: {user: dave}, deadline: PT10M, then: reject}
  - name: simple
    when: request.product == "simple"
    stages:
      - {name: manager, approvers: {group: managers}, deadline: PT1H, then: timeout}
  - name: otherwise
    stages:
      - {name: manager, approvers: {group: managers}, deadline: PT1H, then: timeout, fields: [cost]}
      - name: board
        approvers: [{user: dave}, {user: erin}, {user: frank}]
        quorum: {number: 2}
        deadline: PT1H
        then: timeout
        fields: [cost]
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    config = tmp_path_factory.mktemp("config")
    shutil.copytree(PROJECT / "config", config, dirs_exist_ok=True)
    shutil.rmtree(config / "policies")
    (config / "policies").mkdir()
    (config / "policies" / "staged.yaml").write_text(POLICY, encoding="utf-8")
    (config / "directory.yaml").write_text(DIRECTORY, encoding="utf-8")
    with system_on(("valkey", "sqlite"), tmp_path_factory, SAYSO_CONFIG_DIR=str(config)) as running:
        yield running


def open_order(system: RunningSystem, product: str) -> str:
    order = fresh("PO")
    system.send(purchase(order, product=product))
    system.waiting_for("approval", order)
    return order


def says(system: RunningSystem, sent: Event, state: str = "consumed") -> str | None:
    """The event comes to rest so; returns why."""
    system.send(sent)
    reason: str | None = system.settled(sent, state).reason
    return reason


def stages(system: RunningSystem, order: str) -> dict[str, tuple[str, list[str]]]:
    """Stage → state and who has voted."""
    case = system.case(order)
    assert case is not None
    rows = system.ledger.read(lambda tx: tx.all(select(tasks).where(tasks.c.instance_id == case.instance_id)))
    return {row.stage: (row.state, [vote["by"] for vote in json.loads(row.votes)]) for row in rows}


def audited(system: RunningSystem, order: str) -> list[tuple[str, str, dict[str, Any]]]:
    case = system.case(order)
    assert case is not None
    rows = system.ledger.read(lambda tx: tx.all(select(audit).where(audit.c.instance_id == case.instance_id).order_by(audit.c.seq)))
    return [(row.action, row.actor, json.loads(row.detail)) for row in rows]


def delegation(order: str, by: str, to: str) -> Event:
    return event("sayso.approval.delegated.v1", {"order_id": order, "by": by, "to": to}, source="/approvers")


def amendment(order: str, by: str = "alice", **changes: Any) -> Event:
    return event("com.acme.purchase.amended.v1", {"order_id": order, "requester": by, "changes": changes})


def test_stages_with_a_quorum_then_placed_and_paid(staged: RunningSystem) -> None:
    order = open_order(staged, "Laptop")
    assert "is the requester" in str(says(staged, decision(order_id=order, by="alice"), "refused"))
    says(staged, decision(order_id=order, by="carol"))
    says(staged, decision(order_id=order, by="dave"))
    assert "asks others" in str(says(staged, decision(order_id=order, by="carol"), "refused"))
    assert stages(staged, order) == {"manager": ("decided", ["carol"]), "board": ("open", ["dave"])}
    says(staged, decision(order_id=order, by="frank"))
    staged.waiting_for("payment", order)
    staged.send(payment(order))
    assert staged.closed(order).outcome == "completed"
    assert staged.effects(order) == [("orders.placed", 1)]
    refused = eventually(lambda: found if len(found := staged.messages_about("refusals", order)) == 2 else None, 10, "two refusals")
    assert [one["data"]["by"] for one in refused] == ["alice", "carol"]


def test_a_stage_is_escalated_to_the_director(staged: RunningSystem) -> None:
    order = open_order(staged, "escalates")
    eventually(lambda: "director" in stages(staged, order), 30, "the director is asked")
    says(staged, decision(order_id=order, by="bob"), "refused")
    says(staged, decision(order_id=order, by="dave", approved=False, reason="too dear"))
    case = staged.closed(order)
    assert (case.outcome, case.reason, json.loads(case.result)) == ("rejected", "too dear", "Rejected by 'dave'")
    actions = [action for action, _, _ in audited(staged, order)]
    assert actions.count("approval-reminded") == 1
    assert actions.index("approval-reminded") < actions.index("stage-escalated") < actions.index("decided-reject")


def test_the_time_in_all_ends_it_while_the_director_is_asked(staged: RunningSystem) -> None:
    order = open_order(staged, "hurries")
    case = staged.closed(order, deadline_seconds=40)
    assert (case.outcome, case.reason, json.loads(case.result)) == ("timed_out", "No approval received within 4 seconds", "Cancelled")
    assert set(stages(staged, order)) == {"manager", "director"}


def test_an_amendment_after_a_stage_is_asked_about_again(staged: RunningSystem) -> None:
    order = open_order(staged, "Laptop")
    says(staged, decision(order_id=order, by="bob"))
    says(staged, amendment(order, by="mallory", cost="1.00"), "refused")
    says(staged, amendment(order, cost="1400.00"))
    assert stages(staged, order) == {"manager": ("cancelled", ["bob"]), "board": ("cancelled", []), "manager/2": ("open", [])}
    asked = eventually(lambda: found if len(found := staged.messages_about("approval-requests", order)) == 3 else None, 10, "requests")
    hashes = [one["data"]["request_hash"] for one in asked]
    assert hashes[0] == hashes[1] != hashes[2]
    says(staged, decision(order_id=order, by="bob", request_hash=hashes[0]), "refused")
    for by in ("bob", "dave", "erin"):
        says(staged, decision(order_id=order, by=by))
    staged.waiting_for("payment", order)
    staged.send(payment(order, "1400.00"))
    assert staged.closed(order).outcome == "completed"


def test_an_order_is_withdrawn_while_it_waits_for_its_payment(staged: RunningSystem) -> None:
    order = open_order(staged, "simple")
    says(staged, decision(order_id=order, by="bob"))
    staged.waiting_for("payment", order)
    says(staged, withdrawal(order, "mallory"), "refused")
    says(staged, withdrawal(order, "alice"))
    case = staged.closed(order)
    assert (case.outcome, case.reason) == ("withdrawn", "not needed")
    assert staged.effects(order) == [("orders.placed", 1), ("orders.cancelled", 1)]
    says(staged, payment(order), "late")


def test_a_delegate_decides_and_four_eyes_hold_through_the_delegation(staged: RunningSystem) -> None:
    order = open_order(staged, "simple")
    says(staged, delegation(order, "bob", "alice"), "refused")
    says(staged, delegation(order, "bob", "gina"))
    says(staged, delegation(order, "gina", "erin"))
    says(staged, decision(order_id=order, by="erin"))
    assert ("decided-approve", "erin", "bob") in [(what, who, told.get("on_behalf_of")) for what, who, told in audited(staged, order)]
    staged.waiting_for("payment", order)


def test_an_operator_reassigns_and_cancels(staged: RunningSystem) -> None:
    order = open_order(staged, "simple")
    case = staged.case(order, PURCHASES)
    assert case is not None
    workflows = Workflows(staged.ledger, Settings(config_dir=Path(PROJECT / "config")))
    given = workflows.reassign(case.instance_id, actor="root", reason="they are away", to="gina")
    assert given.event is not None
    eventually(lambda: workflows.became_of(given.event or 0), 20, "the reassignment came to rest")
    says(staged, decision(order_id=order, by="bob"), "refused")
    ended = workflows.cancel(case.instance_id, actor="root", reason="by mistake")
    assert ended.done
    closed = staged.closed(order)
    assert (closed.outcome, closed.reason) == ("cancelled", "by mistake")
