"""Wait for an approval by a policy's plan: round after round, until everybody who is asked has said enough, or the time is over.

As `patterns.await_decision`, over stages. Each accepted vote is a step of its own while its stage goes on, so that tasks show it; the
last one rides with the next step. Opening a stage is one step, whose transaction gives it its times and asks people; a deadline is
asked of the ledger before it is believed. What withdraws, amends, delegates, reassigns or cancels comes in between, through the gate.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sayso.contracts.approval_plan import Wait
from sayso.contracts.approval_state import ApprovalOutcome, ApprovalState, Delegation
from sayso.contracts.cases import Outcome
from sayso.contracts.catalog import CHANGE_EVENT, WITHDRAW_EVENT, WORKFLOWS
from sayso.contracts.changes import Change, ChangeRequested
from sayso.contracts.workflow_io import AMENDED, APPROVAL, DECLINED, ApprovalNote, DeadlineInput, RaisedEvent
from sayso.gate import Decision, Refused, Stage, same_person
from sayso.gate.admission import about_something_else
from sayso.gate.ballots import ballot_of
from sayso.gate.changes import cancel, delegate, reassign, withdraw
from sayso.gate.seats import stage_plan
from sayso.gate.stages import begun, by_the_clock, next_deadline, next_reminder, opened, reminded, time_passed, to_remind, was_over
from sayso.gate.voting import decide
from sayso.policy import in_words
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import (
    GRACE,
    NEVER,
    PENDING_PAUSE_FIRST,
    PENDING_PAUSE_MAX,
    PENDING_ROUNDS_MAX,
    Withdrawn,
    validated_event,
)

OPERATOR = "operator"
"""The channel of what only operators do."""


def await_approval(journal: Journal, mailbox: Mailbox, requester: str | None, event_name: str) -> Yields:
    """Walk through the rounds: a `Decision`, a `Withdrawn`, or None when the time was over (`Journal.waited` says how long)."""
    return (yield from _Approval(journal, mailbox, requester, event_name).walk())


def changes_of(journal: Journal) -> list[str]:
    """The event names under which this request may be changed."""
    return [name for name in (WITHDRAW_EVENT, CHANGE_EVENT) if name in WORKFLOWS[journal.case.workflow].events]


class _Approval:
    """One approval on its way."""

    def __init__(self, journal: Journal, mailbox: Mailbox, requester: str | None, event_name: str) -> None:
        assert journal.plan.approval is not None
        self._journal, self._mailbox, self._requester = journal, mailbox, requester
        self._names = (event_name, *changes_of(journal))
        self._plan = journal.plan.approval
        begun_now = journal.plan.approval_begun
        self._state = begun_now or opened(self._plan, begun(self._plan), journal.case.opened_at, by_the_clock)
        accepts_raw = journal.plan.accept_raw_raise
        self._admission = Stage(journal.case.workflow, requester, NEVER, accepts_raw, matter=journal.matter)
        self._pause = PENDING_PAUSE_FIRST
        self._recheck: datetime | None = None
        self._rounds_left = PENDING_ROUNDS_MAX

    def walk(self) -> Yields:
        while self._state.outcome is None:
            if self._state.is_opening:
                yield from self._open()
                continue
            self._mailbox.wait_until(self._recheck or min(next_reminder(self._state), _with_grace(next_deadline(self._state))))
            event = yield from self._mailbox.next(self._names)
            if event is not None:
                yield from self._take(event)
            elif next_deadline(self._state) > self._journal.now and to_remind(self._state, self._journal.now):
                yield from self._remind()
            else:
                yield from self._time_is_over()
        return self._verdict()

    def _take(self, event: RaisedEvent) -> Yields:
        journal = self._journal
        known = self._late(event) or validated_event(journal, self._admission, event)
        if not isinstance(known, Refused) and known.name == CHANGE_EVENT and known.data["change"] in (Change.AMEND, Change.REPLAN):
            refused = self._why_not_amended(known)
            if refused is None:
                yield from self._plan_anew(known)
                return
            answer: ApprovalState | Refused = refused
            notes: list[ApprovalNote] = []
        else:
            answer, notes = (known, []) if isinstance(known, Refused) else self._judged(known)
        if isinstance(answer, Refused):
            journal.refuse(event, answer.reason)
            yield from journal.record_refusals()
            return
        assert isinstance(known, RaisedEvent)
        journal.use(known)
        yield from self._goes_on(answer, *notes)

    def _late(self, event: RaisedEvent) -> Refused | None:
        at = event.received_at
        if at is None or not was_over(self._plan, self._state, at):
            return None
        return Refused(f"it arrived at {at:%Y-%m-%d %H:%M:%S} UTC, after the deadline")

    def _goes_on(self, state: ApprovalState, *notes: ApprovalNote) -> Yields:
        """Record where it stands now, unless a step follows at once that does it."""
        self._state, self._recheck = state, None
        self._journal.stands(state, *notes)
        if state.outcome is None and not state.is_opening:
            yield from self._journal.step("record_approval")

    def _judged(self, event: RaisedEvent) -> tuple[ApprovalState | Refused, list[ApprovalNote]]:
        now = event.received_at or self._journal.now
        if event.name == WITHDRAW_EVENT:
            return withdraw(self._state, self._requester, event.data["requester"], event.data["reason"]), []
        if event.name == CHANGE_EVENT:
            return self._changed(event, ChangeRequested.model_validate(event.data), now)
        ballot = about_something_else(self._admission, event) or ballot_of(self._journal.case.workflow, event)
        return (ballot if isinstance(ballot, Refused) else decide(self._plan, self._state, ballot, now)), []

    def _changed(
        self, event: RaisedEvent, wanted: ChangeRequested, now: datetime
    ) -> tuple[ApprovalState | Refused, list[ApprovalNote]]:
        if wanted.change is Change.WITHDRAW:
            return withdraw(self._state, self._requester, wanted.requester or "", wanted.reason), []
        if wanted.change is Change.DELEGATE:
            by, to = wanted.by or "", wanted.to or ""
            passed = Delegation(by=by, to=to, stage=wanted.stage, until=wanted.until)
            note = _note("delegated", by, event, to=to, reason=wanted.reason)
            return delegate(self._plan, self._state, passed, now), [note]
        if event.channel != OPERATOR:
            return Refused(f"only an operator may {wanted.change}"), []
        actor, reason = wanted.actor or "", wanted.reason or ""
        if wanted.change is Change.CANCEL:
            return cancel(self._state, actor, reason), [_note("cancelled", actor, event, reason=reason)]
        note = _note("reassigned", actor, event, to=wanted.to, holder=wanted.holder, reason=reason)
        to = wanted.to or ""
        return reassign(self._plan, self._state, to, now, actor=actor, holder=wanted.holder, stage=wanted.stage), [note]

    def _why_not_amended(self, event: RaisedEvent) -> Refused | None:
        if event.data["change"] == Change.REPLAN:
            return None if event.channel == OPERATOR else Refused(f"only an operator may {Change.REPLAN}")
        by = event.data["requester"]
        if self._requester is None or not same_person(by, self._requester):
            return Refused(f"only the requester ({self._requester or 'unknown'}) may amend the request, not {by}")
        return None

    def _plan_anew(self, event: RaisedEvent) -> Yields:
        """The ledger asks the policy about the request as it becomes, or as it is; what that says is recorded, so that a rerun finds
        the same.
        """
        journal = self._journal
        journal.use(event)
        changes = event.data["changes"] or {}
        if event.data["change"] == Change.REPLAN:
            note = _note("replanned", event.data["actor"], event, reason=event.data["reason"])
        else:
            note = _note("amended", event.data["requester"], event, changes=changes, reason=event.data["reason"])
        journal.stands(self._state, note)
        wanted = {"changes": changes, "is_direct": event.seq is None}
        result = yield from journal.step("amend_request", wanted)
        if DECLINED in result or APPROVAL not in result:
            return
        self._state, self._recheck = ApprovalState.model_validate(result[APPROVAL]), None
        self._plan = type(self._plan).model_validate(result[AMENDED]["approval"])
        journal.request = result[AMENDED]["request"]

    def _open(self) -> Yields:
        self._journal.stands(self._state)
        result = yield from self._journal.step("open_stages")
        if APPROVAL in result:
            self._state = ApprovalState.model_validate(result[APPROVAL])
        else:  # the ledger has closed the case, or forgotten it: the engine is told
            self._state = opened(self._plan, self._state, self._journal.now, by_the_clock)

    def _remind(self) -> Yields:
        now = self._journal.now
        notes = [ApprovalNote(action="reminded", actor="sayso", channel="timer", stage=one.key) for one in to_remind(self._state, now)]
        yield from self._goes_on(reminded(self._state, now), *notes)

    def _time_is_over(self) -> Yields:
        """Believe the timer only when the ledger has nothing that came in time, and its clock agrees."""
        journal = self._journal
        deadline = next_deadline(self._state)
        asked = DeadlineInput(
            case=journal.case,
            deadline=deadline,
            waited_for=list(self._names),
            handled=journal.handled,
            direct=journal.handled_direct,
        )
        answer = yield from journal.call("confirm_deadline", asked.model_dump(mode="json"))
        early = timedelta(milliseconds=answer.get("early_ms", 0))
        self._rounds_left -= 1
        if (answer["pending"] or early) and self._rounds_left > 0:
            self._recheck = journal.now + (min(early + GRACE, PENDING_PAUSE_MAX) if early else self._pause)
            self._pause = min(2 * self._pause, PENDING_PAUSE_MAX)
            return
        self._pause, self._rounds_left = PENDING_PAUSE_FIRST, PENDING_ROUNDS_MAX
        self._mark_waited(deadline)
        yield from self._goes_on(time_passed(self._plan, self._state, deadline))

    def _mark_waited(self, deadline: datetime) -> None:
        in_all, plan = self._plan.wait_in_all, self._plan
        if in_all is not None and self._state.due_at == deadline:
            self._journal.waited = _words(in_all)
        else:
            due = next(stage for stage in self._state.open_stages if stage.due_at == deadline)
            self._journal.waited = _words(stage_plan(plan, due).wait)

    def _verdict(self) -> Decision | Withdrawn | None:
        state = self._state
        by = state.by or f"policy {self._plan.policy}"
        if state.outcome in (ApprovalOutcome.APPROVED, ApprovalOutcome.REJECTED):
            return Decision(state.outcome is ApprovalOutcome.APPROVED, by, state.reason, state.channel)
        if state.outcome is ApprovalOutcome.TIMED_OUT:
            return None
        ended = Outcome.WITHDRAWN if state.outcome is ApprovalOutcome.WITHDRAWN else Outcome.CANCELLED
        return Withdrawn(by, state.reason, ended)


def _with_grace(deadline: datetime) -> datetime:
    """What was received in time is in the ledger by then."""
    return deadline + GRACE if deadline < NEVER - GRACE else NEVER


def _note(action: str, actor: str, event: RaisedEvent, **detail: object) -> ApprovalNote:
    told = {name: value for name, value in detail.items() if value is not None}
    return ApprovalNote(action=action, actor=actor, channel=event.channel, seq=event.seq, stage=event.data.get("stage"), detail=told)


def _words(wait: Wait) -> str:
    if wait.seconds is not None:
        return in_words(wait.seconds)
    if wait.working_days is not None:
        return f"{wait.working_days} working day" + ("" if wait.working_days == 1 else "s")
    return f"{wait.working_hours:g} working hours"
