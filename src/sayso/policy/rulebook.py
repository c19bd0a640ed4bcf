"""The rulebook: everything that planning needs, read together from the configuration folder.

In: the settings. Out: directory, calendars and policies, checked against each other; a plan for a request. Read once at the start; the
directory is the caller's, because who is who may change while a process runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan, Wait
from sayso.directory import Directory
from sayso.directory_http import directory_source
from sayso.policy.calendars import Calendars, due_at, load_calendars
from sayso.policy.loading import load_policies
from sayso.policy.planning import plan
from sayso.policy.rules import Policies
from sayso.settings import Settings


@dataclass(frozen=True)
class Rulebook:
    """`directory` is as it was at the start."""

    policies: Policies
    calendars: Calendars
    directory: Directory

    def plan_for(
        self, workflow: str, request: Mapping[str, Any], now: datetime, directory: Directory | None = None
    ) -> ApprovalPlan | None:
        """The plan by the policy that counts for this workflow; None when there is none. `MalformedError` as `plan`."""
        policy = self.policies.in_use.get(workflow)
        return plan(policy, request, directory or self.directory, now) if policy is not None else None


class LivePolicies:
    """What the ledger asks: policies and calendars of the start, the directory as it is now. Safe on several threads."""

    def __init__(self, settings: Settings) -> None:
        """`ConfigurationError` names file, line and a hint: whoever has a wrong policy does not start."""
        self._source = directory_source(settings)
        self._rulebook = load_rulebook(settings, self._source.current())

    def plan(self, workflow: str, request: dict[str, Any], now: datetime) -> ApprovalPlan | None:
        """Who has to decide on this request; None where no policy counts. `MalformedError` when a condition has no value for it."""
        if workflow not in self._rulebook.policies.in_use:
            return None
        return self._rulebook.plan_for(workflow, request, now, self._source.current())

    def due_at(self, opened: datetime, wait: Wait) -> datetime:
        """When a wait that began then is over."""
        return due_at(opened, wait, self._rulebook.calendars)


def load_rulebook(settings: Settings, directory: Directory | None = None) -> Rulebook:
    """Read calendars, directory and policies; `ConfigurationError` names file, line and a hint."""
    folder = settings.config_dir
    directory = directory or directory_source(settings).current()
    calendars = load_calendars(folder / "calendars.yaml")
    return Rulebook(load_policies(folder / "policies", settings, directory, calendars), calendars, directory)
