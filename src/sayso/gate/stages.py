"""Stages: opening them, what a vote or the end of their time makes of them, and what is due next. Pure.

In: a plan, where its approval stands, a moment. Out: where it stands then. A round is over when all of its stages have approved; one
rejection or time-out ends the whole. What has to be opened is `OPENING`, until a step of the ledger gives it its times.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sayso.contracts.approval_plan import AfterDeadline, ApprovalPlan, QuorumKind, StagePlan, Wait
from sayso.contracts.approval_state import Answer, ApprovalOutcome, ApprovalState, StageState, StageStatus, Vote
from sayso.gate.quorum import answer_of
from sayso.gate.seats import all_stages, has_enough, stage_plan

DueAt = Callable[[datetime, Wait], datetime]
"""When a wait that began then is over; calendars are the caller's."""
LAST = datetime.max.replace(tzinfo=UTC)


def by_the_clock(opened: datetime, wait: Wait) -> datetime:
    """`DueAt` without calendars: a working day is a day, a working hour an hour."""
    hours = wait.working_hours or 24 * (wait.working_days or 0)
    seconds = wait.seconds if wait.seconds is not None else 3600 * hours
    return opened + timedelta(seconds=seconds) if seconds < (LAST - opened).total_seconds() else LAST


def begun(plan: ApprovalPlan) -> ApprovalState:
    """Before anybody is asked: the first round is to be opened."""
    return ApprovalState(stages=_of_round(plan, 0))


def opened(plan: ApprovalPlan, state: ApprovalState, at: datetime, due_at: DueAt) -> ApprovalState:
    """All that is to be opened, opened. A stage that nobody can decide is stranded: its escalation, if any, is asked at once."""
    if state.due_at is None and plan.wait_in_all is not None:
        state = state.model_copy(update={"due_at": due_at(at, plan.wait_in_all)})
    for _ in range(len(list(all_stages(plan))) + 1):
        opening = next((stage for stage in state.stages if stage.status is StageStatus.OPENING), None)
        if opening is None:
            return state
        state = _with_opened(plan, state, opening, at, due_at)
    return state


def _with_opened(plan: ApprovalPlan, state: ApprovalState, stage: StageState, at: datetime, due_at: DueAt) -> ApprovalState:
    planned = stage_plan(plan, stage)
    now_open = stage.model_copy(
        update={
            "status": StageStatus.OPEN,
            "opened_at": at,
            "due_at": due_at(at, planned.wait),
            "remind_at": tuple(sorted(due_at(at, wait) for wait in planned.reminders)),
            "stranded": not has_enough(planned, state, at),
        }
    )
    if not now_open.stranded or planned.escalation is None:
        return with_stage(state, now_open)
    return _escalated(state, now_open, planned.escalation, "nobody, or too few, could decide on it")


def settled(plan: ApprovalPlan, state: ApprovalState, stage: StageState, vote: Vote) -> ApprovalState:
    """After a vote: the stage may be decided, so may the round and the whole be."""
    planned = stage_plan(plan, stage)
    seats = 1 if planned.anyone else len(planned.seats)
    answer = answer_of(planned.quorum, seats, [each.answer for each in stage.votes])
    if answer is None:
        return with_stage(state, stage)
    status = StageStatus.APPROVED if answer is Answer.APPROVE else StageStatus.REJECTED
    state = with_stage(state, stage.model_copy(update={"status": status, "why": f"by {vote.person}", "remind_at": ()}))
    return advanced(plan, state, vote.person, vote.comment, vote.channel)


def next_reminder(state: ApprovalState) -> datetime:
    """When somebody is to be reminded next."""
    return min((moment for stage in state.open_stages for moment in stage.remind_at[:1]), default=LAST)


def next_deadline(state: ApprovalState) -> datetime:
    """When time decides something next."""
    return min((end for end in (state.due_at, *(stage.due_at for stage in state.open_stages)) if end is not None), default=LAST)


def to_remind(state: ApprovalState, now: datetime) -> list[StageState]:
    """The stages whose next reminder is due."""
    return [stage for stage in state.open_stages if stage.remind_at and stage.remind_at[0] <= now]


def reminded(state: ApprovalState, now: datetime) -> ApprovalState:
    """What was due was sent; of several that were missed, one."""
    for stage in to_remind(state, now):
        state = with_stage(state, stage.model_copy(update={"remind_at": tuple(moment for moment in stage.remind_at if moment > now)}))
    return state


def came_after(state: ApprovalState, stage: StageState, at: datetime) -> bool:
    """Whether what was received at this moment is too late for the stage."""
    return any(end is not None and at > end for end in (stage.due_at, state.due_at))


def was_over(plan: ApprovalPlan, state: ApprovalState, at: datetime) -> bool:
    """Whether time had ended the whole before this moment, seen by a timer or not."""
    return time_passed(plan, state, at - timedelta(microseconds=1)).outcome is not None


def time_passed(plan: ApprovalPlan, state: ApprovalState, now: datetime) -> ApprovalState:
    """Deadlines that have passed do what the plan says, the earliest first; the time in all comes before a stage's of that moment."""
    for _ in range(len(state.open_stages) + 1):
        if state.outcome is not None:
            return state
        due = [stage for stage in state.open_stages if stage.due_at is not None and stage.due_at <= now]
        first = min(due, key=lambda stage: stage.due_at or LAST, default=None)
        if state.due_at is not None and state.due_at <= min(now, (first.due_at if first is not None else None) or LAST):
            return state.model_copy(update={"outcome": ApprovalOutcome.TIMED_OUT, "reason": "the time in all is over"})
        if first is None:
            return state
        state = _run_out(plan, state, first)
    return state


def _run_out(plan: ApprovalPlan, state: ApprovalState, stage: StageState) -> ApprovalState:
    planned = stage_plan(plan, stage)
    after = AfterDeadline.APPROVE if planned.quorum.kind is QuorumKind.VETO and not stage.stranded else planned.then
    if after is AfterDeadline.ESCALATE and planned.escalation is not None:
        return _escalated(state, stage, planned.escalation, "the time is over")
    if after is AfterDeadline.APPROVE:
        state = with_stage(state, _closed(stage, StageStatus.APPROVED, "the time is over, which approves it"))
        return advanced(plan, state, None, None)
    if after is AfterDeadline.REJECT:
        return advanced(
            plan, with_stage(state, _closed(stage, StageStatus.REJECTED, "the time is over, which rejects it")), None, None
        )
    return advanced(plan, with_stage(state, _closed(stage, StageStatus.TIMED_OUT, "the time is over")), None, None)


def advanced(plan: ApprovalPlan, state: ApprovalState, by: str | None, reason: str | None, channel: str = "topic") -> ApprovalState:
    """What the stages make of the whole: the next round, or its end."""
    last_word = {"by": by, "reason": reason, "channel": channel}
    now = _standing(state, state.round)
    failed = next((stage for stage in now if stage.status in (StageStatus.REJECTED, StageStatus.TIMED_OUT)), None)
    if failed is not None:
        outcome = ApprovalOutcome.REJECTED if failed.status is StageStatus.REJECTED else ApprovalOutcome.TIMED_OUT
        return state.model_copy(update={"outcome": outcome, **last_word, "reason": reason or (failed.why if by is None else None)})
    if any(stage.status is not StageStatus.APPROVED for stage in now):
        return state
    following = state.round + 1
    if following == len(plan.rounds):
        return state.model_copy(update={"outcome": ApprovalOutcome.APPROVED, **last_word})
    kept = {stage.place for stage in _standing(state, following)}
    fresh = tuple(stage for stage in _of_round(plan, following) if stage.place not in kept)
    state = state.model_copy(update={"round": following, "stages": (*state.stages, *fresh)})
    return state if fresh else advanced(plan, state, by, reason, channel)


def _standing(state: ApprovalState, number: int) -> list[StageState]:
    """The stages of a round that count now: of each place the last one."""
    last = {stage.place: stage for stage in state.stages if stage.round == number and stage.status is not StageStatus.SUPERSEDED}
    return list(last.values())


def _of_round(plan: ApprovalPlan, number: int) -> tuple[StageState, ...]:
    stages = enumerate(plan.rounds[number])
    return tuple(StageState(name=each.name, round=number, place=place, version=plan.request_version) for place, each in stages)


def _escalated(state: ApprovalState, stage: StageState, following: StagePlan, why: str) -> ApprovalState:
    gone = _closed(stage, StageStatus.ESCALATED, why)
    asked = StageState(name=following.name, round=stage.round, place=stage.place, version=stage.version)
    state = with_stage(state, gone)
    return state.model_copy(update={"stages": (*state.stages, asked)})


def _closed(stage: StageState, status: StageStatus, why: str) -> StageState:
    return stage.model_copy(update={"status": status, "why": why, "remind_at": ()})


def rounds_of(plan: ApprovalPlan, stages: list[StageState]) -> int:
    """The first round that these stages have not all approved."""
    for number, planned in enumerate(plan.rounds):
        approved = {stage.place for stage in stages if stage.round == number and stage.status is StageStatus.APPROVED}
        if len(approved) < len(planned):
            return number
    return len(plan.rounds)


def with_stage(state: ApprovalState, stage: StageState) -> ApprovalState:
    """The state with this stage in the place of what it was."""
    stages = tuple(stage if each.key == stage.key else each for each in state.stages)
    return state.model_copy(update={"stages": stages})
