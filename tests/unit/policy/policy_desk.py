"""A desk for trying policies: a directory, a calendar, and a policy file written into a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan, StagePlan
from sayso.directory import Directory, load_directory
from sayso.policy.calendars import load_calendars
from sayso.policy.loading import load_policy
from sayso.policy.planning import plan
from sayso.policy.rules import Policy
from sayso.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
NOW = datetime(2026, 12, 22, 10, tzinfo=UTC)

PEOPLE = """\
default: {notify: [sayso-file://]}
users:
  alice: {name: Alice, manager: bob}
  bob: {name: Bob, manager: carol}
  carol: {name: Carol}
  dave: {name: Dave, out_of_office: [{from: 2026-12-21, to: 2026-12-31, stand_in: erin}]}
  erin: {name: Erin, out_of_office: [{from: 2026-12-22, to: 2026-12-22, stand_in: frank}]}
  frank: {name: Frank, manager: bob}
groups:
  managers: {name: Managers, members: [bob, carol, dave]}
  staff: {name: Staff, members: [alice, frank]}
roles:
  director: [carol]
  board: [carol, managers]
"""

HEAD = """\
name: purchases
version: 3
workflow: purchase_order_workflow
"""


class Desk:
    """Writes policies into a folder and plans requests by them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "purchases.yaml"

    def directory(self, text: str = PEOPLE) -> Directory:
        path = self.folder / "directory.txt"
        path.write_text(text, encoding="utf-8")
        return load_directory(path)

    def policy(self, text: str, head: str = HEAD, **settings: Any) -> Policy:
        self.path.write_text(head + text, encoding="utf-8")
        return load_policy(self.path, Settings(**settings), self.directory(), load_calendars(CONFIG / "calendars.yaml"))

    def plan(self, text: str, request: dict[str, Any] | None = None, **settings: Any) -> ApprovalPlan:
        return plan(self.policy(text, **settings), purchase() | (request or {}), self.directory(), NOW)

    def stage(self, stage: str, request: dict[str, Any] | None = None, **settings: Any) -> StagePlan:
        """The first stage of the plan of a policy with this one stage, written without its name and deadline."""
        text = f"rules: [{{name: all, stages: [{{name: first, deadline: PT1H, {stage}}}]}}]\n"
        return self.plan(text, request, **settings).rounds[0][0]


def purchase(**changed: Any) -> dict[str, Any]:
    """A request as the ledger keeps it."""
    usual = {"order_id": "PO-1", "cost": "1250.00", "product": "chair", "quantity": 2, "currency": "EUR", "requester": "alice"}
    return {**usual, "category": None, **changed}
