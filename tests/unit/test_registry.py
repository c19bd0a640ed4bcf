"""The registry: a worker knows every workflow under each name, with its version, and every activity."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

from sayso.contracts.catalog import ALIASES
from sayso.contracts.catalog import WORKFLOWS as CONTRACTS
from sayso.ledger import Ledger
from sayso.ledger.cases import Rules
from sayso.services import PartnerClient
from sayso.settings import Settings
from sayso_worker.registry import STEPS, WORKFLOWS, register


class WrittenDown:
    """In place of the runtime."""

    def __init__(self) -> None:
        self.workflows: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        self.activities: list[str] = []

    def register_versioned_workflow(self, _function: Any, *, name: str, version_name: str, is_latest: bool) -> None:
        self.workflows[name].append((version_name, is_latest))

    def register_activity(self, _function: Any, *, name: str) -> None:
        self.activities.append(name)


def registered() -> WrittenDown:
    runtime: Any = WrittenDown()
    nothing = cast("Ledger", None)
    register(runtime, nothing, cast("PartnerClient", None), Rules(Settings(), "3f9a2c"))
    return cast("WrittenDown", runtime)


def test_every_workflow_is_registered_under_each_of_its_names() -> None:
    names = registered().workflows
    assert names.keys() == CONTRACTS.keys() | ALIASES.keys() == WORKFLOWS.keys() | ALIASES.keys()
    assert {"task_chain", "batch_processing", "request_escalation_workflow"} <= names.keys()
    assert all([latest for _, latest in versions].count(True) == 1 and versions[-1][1] for versions in names.values())


def test_every_activity_is_registered() -> None:
    assert sorted(registered().activities) == sorted([*STEPS, "amend_request", "confirm_deadline", "open_stages", "take_case"])
