"""Changing one's mind: delegating, reassigning, amending, withdrawing, cancelling. Pure; what does not pass is `Refused`.

In: a plan, where its approval stands, who wants what. Out: where it stands then. Invariants: four-eyes holds through any chain, so
nobody gets a right who may not decide; what was decided stays in the history, and counts only for what it was decided about.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sayso.contracts.approval_plan import ApprovalPlan, QuorumKind, Seat, StagePlan
from sayso.contracts.approval_state import ApprovalOutcome, ApprovalState, Delegation, StageState, StageStatus
from sayso.contracts.payload import person_key
from sayso.gate.admission import Refused, same_person
from sayso.gate.seats import all_stages, earlier_keys, forbidden_keys, has_enough, reaches, stage_plan
from sayso.gate.stages import advanced, rounds_of, with_stage

DELEGATIONS_MAX = 100
VERSIONS_MAX = 50
"""How often the request of one case may be amended."""
DECIDED = Refused("the request has been decided already")


def delegate(plan: ApprovalPlan, state: ApprovalState, wanted: Delegation, now: datetime) -> ApprovalState | Refused:
    """Let another person decide too. Whoever could fill a seat, now or on a later stage, may pass that on."""
    if state.outcome is not None:
        return DECIDED
    if same_person(wanted.by, wanted.to):
        return Refused(f"{wanted.by} need not delegate to the same person")
    stages = [each for each in _still_asked(plan, state) if wanted.stage in (None, each.name)]
    if not stages:
        return Refused(f"there is no stage {wanted.stage} that is still to be decided")
    reason = None
    if not any(_has_right(state, each, wanted.by, now) for each in stages):
        reason = f"{wanted.by} is not asked, and has nothing to delegate"
    elif all(person_key(wanted.to) in forbidden_keys(each) for each in stages):
        reason = f"{wanted.to} may not decide on this request, in nobody's place"
    elif len(state.delegations) >= DELEGATIONS_MAX:
        reason = f"there are {DELEGATIONS_MAX} delegations already"
    if reason is not None:
        return Refused(reason)
    return state.model_copy(update={"delegations": (*state.delegations, wanted)})


def reassign(
    plan: ApprovalPlan,
    state: ApprovalState,
    to: str,
    now: datetime,
    *,
    actor: str,
    holder: str | None = None,
    stage: str | None = None,
) -> ApprovalState | Refused:
    """An operator gives a seat that is not filled to somebody else: that of `holder`, or the only one that it can be.

    Where any of several may decide, it is all of their seats.
    """
    if state.outcome is not None:
        return DECIDED
    meant = [each for each in state.open_stages if stage in (None, each.name, each.key)]
    if len(meant) != 1:
        names = ", ".join(each.name for each in state.open_stages) or "none"
        return Refused(f"say which stage; open: {names}" if stage is None or not meant else f"{stage} is not one stage; open: {names}")
    planned = stage_plan(plan, meant[0])
    for person in (to, actor):
        if person_key(person) in forbidden_keys(planned):
            return Refused(f"{person} is the requester, or may not decide on {planned.name} for another reason")
    if person_key(to) in earlier_keys(planned, state):
        return Refused(f"{to} has decided on another stage of this request; {planned.name} asks others")
    seats = _reassigned(planned, meant[0], to, holder)
    if isinstance(seats, Refused):
        return seats
    changed = meant[0].model_copy(update={"seats": seats})
    after = with_stage(state, changed)
    return with_stage(after, changed.model_copy(update={"stranded": not has_enough(stage_plan(plan, changed), after, now)}))


def _reassigned(planned: StagePlan, stage: StageState, to: str, holder: str | None) -> tuple[Seat, ...] | Refused:
    if planned.anyone:
        return Refused(f"on {planned.name} anyone may decide")
    if any(same_person(seat.holder, to) for seat in planned.seats):
        return Refused(f"{to} is asked on {planned.name} already")
    filled = {person_key(vote.seat) for vote in stage.votes}
    free = [seat for seat in planned.seats if person_key(seat.holder) not in filled]
    if holder is not None:
        free = [seat for seat in free if same_person(seat.holder, holder)]
        if not free:
            return Refused(f"{holder} has no seat on {planned.name} that is not filled")
    if len(free) > 1 and planned.quorum.kind is not QuorumKind.ANY:
        return Refused(f"several are asked on {planned.name}: say whose seat it is: {', '.join(seat.holder for seat in free)}")
    kept = tuple(seat for seat in planned.seats if seat not in free)
    return (*kept, Seat(holder=to))


def amend(before: ApprovalPlan, state: ApprovalState, after: ApprovalPlan, changed: Collection[str]) -> ApprovalState | Refused:
    """The request has become another, of which `changed` fields differ, and `after` is its plan.

    A stage stands, decided or open, when the new plan asks the same persons by the same rule and none of the fields that it depends on
    has changed.
    """
    if state.outcome is not None:
        return DECIDED
    if after.request_version > VERSIONS_MAX:
        return Refused(f"the request was amended {VERSIONS_MAX - 1} times already")
    old = {each.name: each for each in all_stages(before)}
    standing = [stage for stage in state.stages if stage.status is not StageStatus.SUPERSEDED]
    stages = [stage.model_copy(update={"status": StageStatus.SUPERSEDED, "why": "amended", "remind_at": ()}) for stage in standing]
    history = [stage for stage in state.stages if stage.status is StageStatus.SUPERSEDED]
    kept: list[StageState] = []
    for number, planned_round in enumerate(after.rounds):
        for place, planned in enumerate(planned_round):
            chain = _chain(planned, standing)
            if chain and all(_unchanged(old.get(each.name), new, changed) for each, new in chain):
                kept += [each.model_copy(update={"round": number, "place": place}) for each, _ in chain]
    kept = _reached(after, kept)
    keys = {stage.key for stage in kept}
    gone = [stage for stage in stages if stage.key not in keys]
    rest = state.model_copy(update={"round": -1, "stages": (*history, *gone, *kept)})
    return advanced(after, rest, None, None)


def _chain(planned: StagePlan, standing: list[StageState]) -> list[tuple[StageState, StagePlan]]:
    """What was asked in the place of this stage: the stage itself, and what it was escalated to."""
    by_name = {stage.name: stage for stage in standing}
    found: list[tuple[StageState, StagePlan]] = []
    following: StagePlan | None = planned
    while following is not None and following.name in by_name:
        found.append((by_name[following.name], following))
        following = following.escalation if by_name[following.name].status is StageStatus.ESCALATED else None
    return found


def _unchanged(old: StagePlan | None, new: StagePlan, changed: Collection[str]) -> bool:
    if old is None or (changed and not new.fields) or set(new.fields) & set(changed):
        return False
    same = [(each.asked, each.anyone, each.quorum, frozenset(map(person_key, each.forbidden))) for each in (old, new)]
    return same[0] == same[1] and {seat.holder for seat in old.seats} == {seat.holder for seat in new.seats}


def _reached(after: ApprovalPlan, kept: list[StageState]) -> list[StageState]:
    """What stands; of rounds that are still to come, only what was decided."""
    current = rounds_of(after, kept)
    return [stage for stage in kept if stage.round <= current or stage.status is not StageStatus.OPEN]


def _still_asked(plan: ApprovalPlan, state: ApprovalState) -> list[StagePlan]:
    over = {
        stage.name for stage in state.stages if stage.status not in (StageStatus.OPEN, StageStatus.OPENING, StageStatus.SUPERSEDED)
    }
    open_ones = [stage_plan(plan, stage) for stage in state.open_stages]
    names = {each.name for each in open_ones}
    return [*open_ones, *(each for each in all_stages(plan) if each.name not in over | names)]


def _has_right(state: ApprovalState, planned: StagePlan, person: str, now: datetime) -> bool:
    barred = forbidden_keys(planned) | earlier_keys(planned, state)
    return any(person_key(person) in reaches(planned, state, seat, barred, now) for seat in planned.seats)


def withdraw(state: ApprovalState, requester: str | None, by: str, reason: str | None) -> ApprovalState | Refused:
    """The requester, nobody else, takes the request back."""
    if state.outcome is not None:
        return DECIDED
    if requester is None or not same_person(by, requester):
        return Refused(f"only the requester ({requester or 'unknown'}) may withdraw, not {by}")
    return state.model_copy(update={"outcome": ApprovalOutcome.WITHDRAWN, "by": by, "reason": reason})


def cancel(state: ApprovalState, actor: str, reason: str) -> ApprovalState | Refused:
    """An operator ends it."""
    if state.outcome is not None:
        return DECIDED
    return state.model_copy(update={"outcome": ApprovalOutcome.CANCELLED, "by": actor, "reason": reason, "channel": "operator"})
