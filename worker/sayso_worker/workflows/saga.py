"""Saga: steps that are undone in reverse when a later one fails.

Use: `saga = Saga(journal)`, then `yield from saga.step("book_flight", "cancel_flight", trip)` for each step; when one raises
`StepFailedError`, `outcome = yield from saga.undo_all()`. Invariants: the undo of a step is registered before its do is called, so a
step whose effect is unknown is undone too (one that was refused had no effect); each undo gets the do's answer as `booking`, None when
it is unknown; an undo that fails is reported for a person to settle, and the others still run.

The service must bear an undo twice, and before its do has finished: what is undone stays undone, also for a do that comes late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import ANSWERS_TO, RECORDED_AT, Retries, Unsettled
from sayso.errors import SaysoError
from sayso_worker.workflows.journal import Failed, Journal, Yields, retry_policy

DEFAULT_RETRIES = Retries(first_interval_seconds=1, coefficient=2, interval_max_seconds=60, attempts=5)


class StepFailedError(SaysoError):
    """A step did not come about; the text is the service's own words."""


@dataclass
class _Undo:
    step: str
    undo: str
    arguments: dict[str, Any]
    booking: dict[str, Any] | None = None

    def unsettled(self, failed: Failed) -> dict[str, Any]:
        """What is recorded when the undo was given up."""
        return {"unsettled": Unsettled(step=self.step, undo=self.undo, error=failed.error, booking=self.booking)}


class Saga:
    """What one case has done and would have to undo; made once, before its first step."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._retries = retry_policy(journal.plan.retries or DEFAULT_RETRIES)
        self._undo_retries = retry_policy(journal.plan.undo_retries or DEFAULT_RETRIES)
        self._undos: list[_Undo] = []

    def step(self, do: str, undo: str | None, arguments: dict[str, Any], **record: Any) -> Yields:
        """Call the activity `do`; gives the service's answer. Raises `StepFailedError` when it failed or was refused."""
        registered = self.undo_later(do, undo, arguments) if undo is not None else None
        record.setdefault("stage", f"has done {do}")
        done = yield from self._journal.attempt(do, arguments, retries=self._retries, **record)
        if isinstance(done, Failed):
            if registered is not None and not done.unknown:
                self._undos.remove(registered)
            raise StepFailedError(done.error)
        self._journal.milestones.append(do)
        booking = {name: value for name, value in done.items() if name not in (ANSWERS_TO, RECORDED_AT)}
        if registered is not None:
            registered.booking = booking
        return booking

    def undo_later(self, step: str, undo: str, arguments: dict[str, Any], booking: dict[str, Any] | None = None) -> _Undo:
        """Register an undo; by itself for a step that somebody else has done."""
        registered = _Undo(step, undo, arguments, booking)
        self._undos.append(registered)
        return registered

    def undo_all(self) -> Yields:
        """Undo what was done, the last first: `COMPENSATED`, or `FAILED` when an undo failed and a person has to settle it."""
        outcome = Outcome.COMPENSATED
        while self._undos:
            each = self._undos.pop()
            given = {**each.arguments, "booking": each.booking}
            done = yield from self._journal.attempt(
                each.undo,
                given,
                retries=self._undo_retries,
                with_failure=each.unsettled,
                stage=f"has undone {each.step}",
            )
            if isinstance(done, Failed):
                outcome = Outcome.FAILED
            else:
                self._journal.milestones.append(each.undo)
        return outcome
