"""Where the approval of one case stands: its stages, their votes, who has passed on a right. JSON, so that it travels in steps.

The gate alone makes one from another (`sayso.gate`); a workflow keeps it, a step hands it to the ledger, which shows it as tasks.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sayso.contracts.approval_plan import Seat
from sayso.contracts.payload import person_key
from sayso.contracts.snapshot import Snapshot


class Answer(StrEnum):
    """What somebody says on a stage."""

    APPROVE = "approve"
    REJECT = "reject"
    ABSTAIN = "abstain"


class StageStatus(StrEnum):
    """Where a stage stands."""

    OPENING = "opening"  # the next step opens it and gives it its times
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    ESCALATED = "escalated"  # another one is asked in its place
    SUPERSEDED = "superseded"  # the request was amended: it counts for nothing any more


class ApprovalOutcome(StrEnum):
    """How the whole ended."""

    APPROVED = "approved"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    WITHDRAWN = "withdrawn"
    CANCELLED = "cancelled"


class Ballot(Snapshot):
    """One decision as it reaches the gate, whichever way it came.

    `members` was looked up at delivery: of each group that gives seats, who of the holders belongs to it now. None: nobody looked.
    """

    person: str
    answer: Answer
    comment: str | None = None
    channel: str = "topic"
    seq: int | None = None
    stage: str | None = None
    on_behalf_of: str | None = None
    request_hash: str | None = None
    request_version: int | None = None
    members: dict[str, tuple[str, ...]] | None = None


class Vote(Snapshot):
    """An accepted decision. `seat` is the holder whose seat it fills; empty where anyone may decide."""

    seat: str
    person: str
    answer: Answer
    comment: str | None = None
    channel: str = "topic"
    seq: int | None = None
    at: datetime

    @property
    def on_behalf_of(self) -> str | None:
        """For whom somebody decided who holds the seat not himself."""
        return self.seat if self.seat and person_key(self.seat) != person_key(self.person) else None


class StageState(Snapshot):
    """One stage that is, or was, asked. `round` and `place` say where in the plan; an escalation has the place of what it replaces."""

    name: str
    round: int
    place: int
    version: int = 1
    """Of the request that is asked about."""
    status: StageStatus = StageStatus.OPENING
    opened_at: datetime | None = None
    due_at: datetime | None = None
    remind_at: tuple[datetime, ...] = ()
    """Reminders that are still to come, the next one first."""
    votes: tuple[Vote, ...] = ()
    seats: tuple[Seat, ...] | None = None
    """Instead of the plan's, since an operator has reassigned it."""
    stranded: bool = False
    """When it was opened, nobody or too few could have decided on it."""
    why: str | None = None
    """How it ended, for people."""

    @property
    def key(self) -> str:
        """Its name in the ledger: once more asked, it is another task."""
        return self.name if self.version == 1 else f"{self.name}/{self.version}"


class Delegation(Snapshot):
    """`by` lets `to` decide in the place of `by`, who stays entitled."""

    by: str
    to: str
    stage: str | None = None
    until: datetime | None = None


class ApprovalState(Snapshot):
    """The whole. `due_at` is the end of the time for all stages together."""

    round: int = 0
    stages: tuple[StageState, ...] = ()
    delegations: tuple[Delegation, ...] = ()
    due_at: datetime | None = None
    outcome: ApprovalOutcome | None = None
    by: str | None = None
    """Whose word ended it; None: time did."""
    reason: str | None = None
    channel: str = "topic"

    @property
    def open_stages(self) -> tuple[StageState, ...]:
        """Those that wait for votes."""
        return tuple(stage for stage in self.stages if stage.status is StageStatus.OPEN)

    @property
    def is_opening(self) -> bool:
        """Whether the next step has to open something."""
        return any(stage.status is StageStatus.OPENING for stage in self.stages)
