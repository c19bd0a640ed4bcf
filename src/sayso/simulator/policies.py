"""Policies of the scenario `stages`: every request is decided on one stage, by anybody but its requester, within the usual time.

So the checker's tables hold as they are, and the workflows go another way: that of a policy's plan. An amendment of anything but the
price leaves the stage as it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan, StagePlan, Wait
from sayso.ledger.planning import SettingsAlone
from sayso.policy import POLICIES, STAGE
from sayso.settings import Settings

MATERIAL = ("cost", "amount", "priority")


class OneStage(SettingsAlone):
    """A plan that says what the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def plan(self, workflow: str, request: dict[str, Any], _now: datetime) -> ApprovalPlan:
        """See `Policies`."""
        policy = POLICIES[workflow]
        plan = policy.plan(self._settings)
        stage = StagePlan(
            name=STAGE,
            asked=(plan.approver_group,),
            seats=(),
            anyone=True,
            wait=Wait(seconds=plan.approval_timeout_seconds),
            forbidden=(request["requester"],),
            fields=MATERIAL,
        )
        known = {"policy": workflow, "version": "1", "policy_hash": "", "request_hash": "", "rule": "simulated"}
        return ApprovalPlan(**known, automatic=policy.automatic(plan, request), rounds=((stage,),))
