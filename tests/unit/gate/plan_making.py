"""Plans in a few words, and what happens to their approvals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan, Quorum, QuorumKind, Seat, StagePlan, Wait
from sayso.contracts.approval_state import Answer, ApprovalState, Ballot, StageState
from sayso.gate import Refused
from sayso.gate.stages import begun, by_the_clock, opened, time_passed
from sayso.gate.voting import decide

OPENED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUR = 3_600.0


def seat(holder: str, *stand_ins: str, group: str | None = None) -> Seat:
    return Seat(holder=holder, stand_ins=stand_ins, member_of=group)


def stage(name: str, *seats: Seat | str, quorum: str = "any", of: int | None = None, hours: float = 48, **more: Any) -> StagePlan:
    held = tuple(one if isinstance(one, Seat) else seat(one) for one in seats)
    more.setdefault("forbidden", ("alice",))
    more.setdefault("asked", tuple(one.holder for one in held))
    rule = Quorum(kind=QuorumKind(quorum), of=of)
    return StagePlan(name=name, seats=held, quorum=rule, wait=Wait(seconds=hours * HOUR), **more)


def plan(*rounds: StagePlan | tuple[StagePlan, ...], **more: Any) -> ApprovalPlan:
    in_rounds = tuple(each if isinstance(each, tuple) else (each,) for each in rounds)
    known = {"policy": "p", "version": "1", "policy_hash": "0" * 64, "request_hash": "a" * 64, "rule": "r"}
    return ApprovalPlan(**(known | {"rounds": in_rounds} | more))


class Approval:
    """An approval that goes its way; what is refused changes nothing."""

    def __init__(self, planned: ApprovalPlan, at: datetime = OPENED) -> None:
        self.plan = planned
        self.now = at
        self.refused: list[str] = []
        self.state = opened(planned, begun(planned), at, by_the_clock)

    def take(self, answer: ApprovalState | Refused) -> bool:
        """What a function of the gate says; whatever is to be opened is."""
        if isinstance(answer, Refused):
            assert answer.reason
            self.refused.append(answer.reason)
            return False
        self.state = ApprovalState.model_validate_json(answer.model_dump_json())  # it travels as JSON
        assert self.state == answer
        self.open()
        return True

    def open(self) -> None:
        if self.state.outcome is None:
            self.state = opened(self.plan, self.state, self.now, by_the_clock)

    def says(self, person: str, answer: str = "approve", **more: Any) -> bool:
        ballot = Ballot(person=person, answer=Answer(answer), **more)
        return self.take(decide(self.plan, self.state, ballot, self.now))

    def passes(self, hours: float) -> None:
        self.now += timedelta(hours=hours)
        self.take(time_passed(self.plan, self.state, self.now))

    @property
    def outcome(self) -> str | None:
        return self.state.outcome

    @property
    def asked(self) -> list[str]:
        return [each.name for each in self.state.open_stages]

    def stage(self, name: str) -> StageState:
        return [each for each in self.state.stages if each.name == name][-1]

    @property
    def why(self) -> str:
        """Of the last refusal."""
        return self.refused[-1]
