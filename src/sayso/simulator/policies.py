"""Policies of the scenarios `stages` and `seats`, within the usual time.

In `stages` every request is decided on one stage, by anybody but its requester: the checker's tables hold as they are, and the
workflows go another way, that of a policy's plan. In `seats` one of two persons approves first, then both of two others. An amendment
of anything but the price leaves the stages as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan, Quorum, QuorumKind, Seat, StagePlan, Wait
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


class Seats(SettingsAlone):
    """A plan of two stages on which named persons decide, with the time of the settings in all."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def plan(self, workflow: str, request: dict[str, Any], _now: datetime) -> ApprovalPlan:
        """See `Policies`."""
        policy = POLICIES[workflow]
        plan = policy.plan(self._settings)
        seconds = plan.approval_timeout_seconds
        rounds = tuple(
            (_stage(name, people, quorum, 2 * seconds, request["requester"]),)
            for name, people, quorum in (("first", ("bob", "carol"), "any"), ("both", ("dora", "emil"), "all"))
        )
        known = {"policy": workflow, "version": "1", "policy_hash": "", "request_hash": "", "rule": "simulated"}
        return ApprovalPlan(**known, automatic=policy.automatic(plan, request), rounds=rounds, wait_in_all=Wait(seconds=seconds))


def _stage(name: str, people: tuple[str, ...], quorum: str, seconds: float, requester: str) -> StagePlan:
    return StagePlan(
        name=name,
        asked=people,
        seats=tuple(Seat(holder=person) for person in people),
        quorum=Quorum(kind=QuorumKind(quorum)),
        wait=Wait(seconds=seconds),
        forbidden=(requester,),
        fields=MATERIAL,
    )
