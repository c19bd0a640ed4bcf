"""Seats: who may fill which seat of a stage, in whose place.

In: a plan, where its approval stands, a stage. Out: the seats that a person may fill. Four-eyes: who may not decide passes no right
on, and gets none, over any number of stand-ins and delegations. A person fills one seat of a stage; a seat is filled once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sayso.contracts.approval_plan import ApprovalPlan, Seat, StagePlan
from sayso.contracts.approval_state import ApprovalState, StageState, StageStatus
from sayso.contracts.payload import person_key
from sayso.gate.quorum import seats_needed


def stage_plan(plan: ApprovalPlan, stage: StageState) -> StagePlan:
    """The plan of a stage that is or was asked, with the seats that it has now."""
    found = next(each for each in all_stages(plan) if each.name == stage.name)
    return found if stage.seats is None else found.model_copy(update={"seats": stage.seats})


def all_stages(plan: ApprovalPlan) -> Iterator[StagePlan]:
    """Every stage of the plan, escalations behind what they replace."""
    for stages in plan.rounds:
        for each in stages:
            following: StagePlan | None = each
            while following is not None:
                yield following
                following = following.escalation


def forbidden_keys(planned: StagePlan) -> frozenset[str]:
    """Whoever may not decide on this stage, whatever happens."""
    return frozenset(map(person_key, planned.forbidden))


def earlier_keys(planned: StagePlan, state: ApprovalState) -> frozenset[str]:
    """Who has decided on another stage, and on whose behalf, where this one wants others."""
    if not planned.not_earlier_deciders:
        return frozenset()
    others = (stage for stage in state.stages if stage.name != planned.name and stage.status is not StageStatus.SUPERSEDED)
    votes = [vote for stage in others for vote in stage.votes]
    return frozenset(person_key(name) for vote in votes for name in (vote.person, vote.seat) if name)


def reaches(planned: StagePlan, state: ApprovalState, seat: Seat, barred: frozenset[str], at: datetime) -> frozenset[str]:
    """Who may fill this seat: its holder, stand-ins, and those to whom any of them has passed it on; nobody through a barred one."""
    found: set[str] = set()
    waiting = [seat.holder]
    while waiting:
        person = waiting.pop()
        if person_key(person) in barred or person_key(person) in found:
            continue
        found.add(person_key(person))
        if person_key(person) == person_key(seat.holder):
            waiting += _until_barred(seat.stand_ins, barred)
        waiting += [each.to for each in state.delegations if _holds(each.by, person) and _counts(each.stage, each.until, planned, at)]
    return frozenset(found)


def _until_barred(stand_ins: tuple[str, ...], barred: frozenset[str]) -> Iterator[str]:
    for stand_in in stand_ins:
        if person_key(stand_in) in barred:
            return
        yield stand_in


def _holds(by: str, person: str) -> bool:
    return person_key(by) == person_key(person)


def _counts(stage: str | None, until: datetime | None, planned: StagePlan, at: datetime) -> bool:
    return stage in (None, planned.name) and (until is None or at <= until)


def has_enough(planned: StagePlan, state: ApprovalState, at: datetime) -> bool:
    """Whether enough different persons could fill enough seats for a yes; who belongs to a group no more is not known here."""
    if planned.anyone:
        return True
    barred = forbidden_keys(planned) | earlier_keys(planned, state)
    able = [reaches(planned, state, seat, barred, at) for seat in planned.seats]
    return bool(able) and _fillable(able) >= max(1, seats_needed(planned.quorum, len(able)))


def _fillable(able: list[frozenset[str]]) -> int:
    """The most seats that can be filled at once, each by another person (bipartite matching by augmenting paths)."""
    seat_of: dict[str, int] = {}

    def place(seat: int, asked: set[str]) -> bool:
        for person in sorted(able[seat] - asked):
            asked.add(person)
            if person not in seat_of or place(seat_of[person], asked):
                seat_of[person] = seat
                return True
        return False

    return sum(place(seat, set()) for seat in range(len(able)))
