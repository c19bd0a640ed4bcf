"""A plan as people and dates: which stage may open when, until when it waits, and whom it asks then.

In: a plan, when its case opens, the calendars. Out: one line a stage, escalations after the stage that they follow. Each stage is
shown as late as it can be: the one before it took all its time, escalations included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sayso.contracts.approval_plan import ApprovalPlan, Quorum, QuorumKind, StagePlan, Wait
from sayso.policy.calendars import Calendars, due_at
from sayso.policy.workflow_plans import in_words


@dataclass(frozen=True)
class ScheduledStage:
    """One stage at the latest time at which it can open. `escalates` counts how often the question was handed on before."""

    round: int
    escalates: int
    stage: StagePlan
    opens_at: datetime
    due_at: datetime
    reminders: tuple[datetime, ...]


def schedule(plan: ApprovalPlan, opened: datetime, calendars: Calendars) -> tuple[ScheduledStage, ...]:
    """Every stage in order. No date is later than the end of the time in all."""
    end = due_at(opened, plan.wait_in_all, calendars) if plan.wait_in_all is not None else None
    found: list[ScheduledStage] = []
    opens = opened
    for number, stages in enumerate(plan.rounds, start=1):
        found += [one for stage in stages for one in _handed_on(stage, number, opens, end, calendars)]
        opens = max(one.due_at for one in found)
    return tuple(found)


def _handed_on(stage: StagePlan, number: int, opens: datetime, end: datetime | None, calendars: Calendars) -> Iterator[ScheduledStage]:
    following: StagePlan | None = stage
    escalates = 0
    while following is not None:
        due = due_at(opens, following.wait, calendars)
        due = min(due, end) if end is not None else due
        reminders = tuple(at for wait in following.reminders if (at := due_at(opens, wait, calendars)) < due)
        yield ScheduledStage(number, escalates, following, opens, due, reminders)
        following, opens, escalates = following.escalation, due, escalates + 1


def wait_in_words(wait: Wait) -> str:
    """`3 days`, `8 working hours (office)`."""
    if wait.seconds is not None:
        return in_words(wait.seconds)
    count, unit = (wait.working_days, "working day") if wait.working_days is not None else (wait.working_hours, "working hour")
    return f"{count:g} {unit}{'' if count == 1 else 's'} ({wait.calendar})"


def quorum_in_words(quorum: Quorum) -> str:
    """`any of them`, `2 of them`."""
    return {
        QuorumKind.ANY: "any of them",
        QuorumKind.ALL: "all of them",
        QuorumKind.NUMBER: f"{quorum.of} of them",
        QuorumKind.PERCENT: f"{quorum.of} percent of them",
        QuorumKind.VETO: "approved unless one of them rejects",
        QuorumKind.ALL_RESPONDED: "the majority when all have answered",
    }[quorum.kind]


def people_in_words(stage: StagePlan) -> str:
    """`bob, carol (or dave)`; who may decide."""
    if stage.anyone:
        return f"anyone ({', '.join(stage.asked)} asked)"
    if not stage.seats:
        return "nobody is eligible"
    return ", ".join(f"{seat.holder} (or {', '.join(seat.stand_ins)})" if seat.stand_ins else seat.holder for seat in stage.seats)


def chain_in_words(plan: ApprovalPlan) -> str:
    """The whole chain on one line: `manager: bob; then finance: carol, erin + legal: dave`."""
    if plan.automatic:
        return "automatic"
    rounds = (" + ".join(f"{stage.name}: {people_in_words(stage)}" for stage in stages) for stages in plan.rounds)
    return "; then ".join(rounds)
