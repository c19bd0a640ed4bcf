"""What a policy answers for one request: who has to decide, in which order, until when. A snapshot in the workflow's input.

`plan(policy, request, directory, now)` makes it, the gate judges decisions by it, the workflow walks through its rounds. It names
persons, as the directory knew them then; whether somebody still belongs to a group is looked up again when a decision is delivered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from sayso.contracts.snapshot import Snapshot


class QuorumKind(StrEnum):
    """How the seats of a stage make one answer."""

    ANY = "any"
    """The first answer decides."""
    ALL = "all"
    """Every seat approves; one rejection rejects."""
    NUMBER = "number"
    """So many approvals; it is rejected as soon as they cannot be reached any more."""
    PERCENT = "percent"
    """As `number`, of the seats, rounded up."""
    VETO = "veto"
    """Approved when the time is over, or everybody has approved or abstained; one rejection rejects."""
    ALL_RESPONDED = "all-responded"
    """When every seat has answered, the majority of those that did not abstain decides; a tie rejects."""


class Quorum(Snapshot):
    """The rule, with its number for `number` and `percent`."""

    kind: QuorumKind = QuorumKind.ANY
    of: Annotated[int, Field(ge=1)] | None = None


class AfterDeadline(StrEnum):
    """What an unanswered stage does."""

    TIMEOUT = "timeout"
    APPROVE = "approve"
    REJECT = "reject"
    ESCALATE = "escalate"


class CommentRule(StrEnum):
    """When a decision needs words."""

    NEVER = "never"
    ON_REJECT = "on-reject"
    ALWAYS = "always"


class Seat(Snapshot):
    """One voice in a stage. Its holder may fill it, or one who stands in for the holder, directly or through others, but one only.

    `member_of` is the group through which the holder has it: who is not in it any more when the decision is delivered has lost it.
    """

    holder: str
    member_of: str | None = None
    stand_ins: tuple[str, ...] = ()
    """Who stands in while the holder is out of office, at the time of the plan; the holder stays entitled."""


class Wait(Snapshot):
    """How long: so many seconds by the clock, or so many working hours or days of a calendar. Exactly one is given."""

    seconds: float | None = None
    working_hours: float | None = None
    working_days: int | None = None
    calendar: str | None = None


class StagePlan(Snapshot):
    """One question to some people. `name` is unique in a plan."""

    name: str
    asked: tuple[str, ...]
    """Users, groups or roles of the directory: whom notices and the list of tasks name."""
    seats: tuple[Seat, ...]
    """Empty: nobody is eligible; the stage alerts and escalates at once."""
    anyone: bool = False
    """Whoever is not forbidden may decide: as before there were policies. `seats` is empty then, and `quorum` is `any`."""
    quorum: Quorum = Quorum()
    wait: Wait
    then: AfterDeadline = AfterDeadline.TIMEOUT
    escalation: StagePlan | None = None
    """Asked instead when the time is over (`then: escalate`)."""
    reminders: tuple[Wait, ...] = ()
    """How long after its opening."""
    forbidden: tuple[str, ...] = ()
    """Persons who may not decide, the requester first of all; neither may one who stands in for them or they for another."""
    not_earlier_deciders: bool = True
    """Whoever has decided on an earlier stage of this case may not decide on this one."""
    comment: CommentRule = CommentRule.NEVER
    fields: tuple[str, ...] = ()
    """Fields of the request that it depends on; when one of them is amended, it is asked again. Empty: any field."""


class ApprovalPlan(Snapshot):
    """The whole answer. Rounds follow each other; the stages of a round are asked at the same time, and all have to approve."""

    policy: str
    version: str
    policy_hash: str
    """SHA-256 of the policy's file."""
    request_hash: str
    """SHA-256 of the request's RFC 8785 JSON: what decisions are about."""
    request_version: int = 1
    """Counts amendments."""
    rule: str
    """The rule that gave it."""
    automatic: bool = False
    """Nobody is asked."""
    rounds: tuple[tuple[StagePlan, ...], ...] = ()
    wait_in_all: Wait | None = None
    """From the opening of the case, over all stages; then it times out."""
