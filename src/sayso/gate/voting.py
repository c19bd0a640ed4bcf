"""Voting: the one function that every decision on a stage passes, whichever way it came (ARCHITECTURE, invariant 8).

In: the plan, where its approval stands, a ballot, the moment at which the ledger received it. Out: where the approval stands then, or
`Refused`. Pure. Decisions are judged in the order in which the ledger has them: of an approval and a rejection in the same moment the
one with the lower number counts, and the other is refused, or is a vote too where the stage asks for several; both are recorded.
"""

from __future__ import annotations

from datetime import datetime

from sayso.contracts.approval_plan import ApprovalPlan, CommentRule, Seat, StagePlan
from sayso.contracts.approval_state import Answer, ApprovalState, Ballot, StageState, StageStatus, Vote
from sayso.contracts.payload import person_key
from sayso.gate.admission import Refused
from sayso.gate.seats import all_stages, earlier_keys, forbidden_keys, reaches, stage_plan
from sayso.gate.stages import came_after, settled

UNNAMED = ""
"""The seat of whoever decides where anyone may."""


def decide(plan: ApprovalPlan, state: ApprovalState, ballot: Ballot, now: datetime) -> ApprovalState | Refused:
    """Judge one decision."""
    refusal = _why_not_at_all(plan, state, ballot)
    if refusal is not None:
        return refusal
    judged = [(stage, _seat_for(plan, state, stage, ballot, now)) for stage in _meant(state, ballot)]
    if not judged:
        return Refused(_not_open(plan, state, ballot))
    able = [(stage, seat) for stage, seat in judged if not isinstance(seat, Refused)]
    if len(able) > 1:
        return Refused(f"{ballot.person} may decide on {' and on '.join(stage.name for stage, _ in able)}: name the `stage`")
    if not able:
        return Refused("; ".join(dict.fromkeys(seat.reason for _, seat in judged if isinstance(seat, Refused))))
    ((stage, seat),) = able
    vote = Vote(
        seat=seat.holder,
        person=ballot.person,
        answer=ballot.answer,
        comment=ballot.comment,
        channel=ballot.channel,
        seq=ballot.seq,
        at=now,
    )
    return settled(plan, state, stage.model_copy(update={"votes": (*stage.votes, vote)}), vote)


def _why_not_at_all(plan: ApprovalPlan, state: ApprovalState, ballot: Ballot) -> Refused | None:
    if state.outcome is not None:
        return Refused("the request has been decided already")
    if ballot.request_version not in (None, plan.request_version):
        return Refused(f"it is about version {ballot.request_version} of the request, which is now version {plan.request_version}")
    if ballot.request_hash not in (None, plan.request_hash):
        return Refused(f"it is about another request (hash {ballot.request_hash}); this one has {plan.request_hash}")
    return None


def _meant(state: ApprovalState, ballot: Ballot) -> list[StageState]:
    return [stage for stage in state.open_stages if ballot.stage in (None, stage.name, stage.key)]


def _not_open(plan: ApprovalPlan, state: ApprovalState, ballot: Ballot) -> str:
    if ballot.stage is None:
        return "no stage is open yet: send it again when somebody is asked"
    known = next((stage for stage in reversed(state.stages) if ballot.stage in (stage.name, stage.key)), None)
    if known is not None and known.status is not StageStatus.OPENING:
        return f"the stage {ballot.stage} is over: {known.status.replace('_', ' ')}"
    if any(each.name == ballot.stage for each in all_stages(plan)):
        return f"the stage {ballot.stage} is not open yet"
    return f"there is no stage {ballot.stage}; open: {', '.join(stage.name for stage in state.open_stages) or 'none'}"


def _seat_for(plan: ApprovalPlan, state: ApprovalState, stage: StageState, ballot: Ballot, now: datetime) -> Seat | Refused:
    """The seat that this person fills: the own one first, else the first that is free."""
    planned = stage_plan(plan, stage)
    refusal = _barred(planned, state, stage, ballot, now) or _incomplete(planned, ballot)
    if refusal is not None:
        return refusal
    if planned.anyone:
        return Seat(holder=UNNAMED)
    barred = forbidden_keys(planned) | earlier_keys(planned, state)
    me = person_key(ballot.person)
    mine = [seat for seat in planned.seats if me in reaches(planned, state, seat, barred, now)]
    if ballot.on_behalf_of is not None:
        mine = [seat for seat in mine if person_key(seat.holder) == person_key(ballot.on_behalf_of)]
    if not mine:
        whose = f" in the place of {ballot.on_behalf_of}" if ballot.on_behalf_of is not None else ""
        return Refused(f"{ballot.person} is not asked on {stage.name}{whose}: {', '.join(planned.asked) or 'nobody'} is")
    filled = {person_key(vote.seat) for vote in stage.votes}
    free = [seat for seat in mine if person_key(seat.holder) not in filled]
    if not free:
        return Refused(f"the seat of {mine[0].holder} on {stage.name} is filled already")
    held = [(seat, _lost(seat, ballot)) for seat in sorted(free, key=lambda seat: person_key(seat.holder) != me)]
    kept = next((seat for seat, lost in held if lost is None), None)
    return kept if kept is not None else Refused(str(held[0][1]))


def _barred(planned: StagePlan, state: ApprovalState, stage: StageState, ballot: Ballot, now: datetime) -> Refused | None:
    me = person_key(ballot.person)
    if came_after(state, stage, now):
        return Refused(f"it arrived at {now:%Y-%m-%d %H:%M:%S} UTC, after the deadline")
    if me in forbidden_keys(planned):
        if person_key(planned.forbidden[0]) == me:
            return Refused(f"{ballot.person} is the requester; nobody decides on an own request")
        return Refused(f"{ballot.person} may not decide on {stage.name}")
    if me in earlier_keys(planned, state):
        return Refused(
            f"{ballot.person} has decided on another stage of this request, or somebody in that place; {stage.name} asks others"
        )
    if any(person_key(vote.person) == me for vote in stage.votes):
        return Refused(f"{ballot.person} has decided on {stage.name} already; one person fills one seat")
    return None


def _incomplete(planned: StagePlan, ballot: Ballot) -> Refused | None:
    needs_words = planned.comment is CommentRule.ALWAYS or (
        planned.comment is CommentRule.ON_REJECT and ballot.answer is Answer.REJECT
    )
    if needs_words and not (ballot.comment or "").strip():
        return Refused(f"{planned.name} wants a reason with the decision: give `reason`")
    if planned.anyone and ballot.answer is Answer.ABSTAIN:
        return Refused(f"on {planned.name} anyone may decide: whoever has no opinion says nothing")
    return None


def _lost(seat: Seat, ballot: Ballot) -> str | None:
    """Why the seat gives no right now, by what was looked up at delivery."""
    group = seat.member_of
    if group is None:
        return None
    if ballot.members is None:
        return f"it was raised past the ledger, where nobody looks up who is a member of {group}"
    if group not in ballot.members:
        return "the request was changed while this was on its way: look at it again, and decide anew"
    if person_key(seat.holder) in set(map(person_key, ballot.members[group])):
        return None
    return f"{seat.holder} is not a member of {group}, who are asked"
