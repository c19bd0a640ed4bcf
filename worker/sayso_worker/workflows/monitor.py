"""monitor: look at something again and again, for months, and listen to events meanwhile (docs/monitors.md).

Use: `ending = yield from monitor(journal, mailbox, state, look, why_not)`; when it is None the workflow returns at once, because the
next run has been asked for; else it closes its case with it. `look` is a generator function that makes one check, by `check`, and may
give a `Closing`. Invariants: a run makes at most one check and takes at most one event, so a history is as short after a year as after
an hour; what the next run needs is in `state`, whose last copy the ledger keeps with the last check; each event is used or refused, at
once and visibly, also one that comes while the runs change.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel

from sayso.contracts.cases import Outcome
from sayso.contracts.catalog import MONITOR_ACTS, MONITOR_CHANGED
from sayso.contracts.workflow_io import LAST, Closing, RaisedEvent
from sayso.gate import Refused, Stage
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import NEVER, validated_event

EVENTS = (MONITOR_CHANGED, *MONITOR_ACTS)
PAUSED_FOR = timedelta(days=1)
"""A wait has an end: a paused monitor's next run only waits on."""


class MonitorState(BaseModel):
    """What a monitor knows, from run to run. A kind of monitor adds its own fields."""

    check_count: int = 0
    next_at: AwareDatetime | None = None
    """When the next check is due; None: at once."""
    paused: bool = False
    changes: dict[str, Any] = {}
    """What events have said since it was started."""

    @property
    def stage(self) -> str:
        """For people who look at the case."""
        return "paused" if self.paused else f"has made {self.check_count} checks"

    def become(self, kept: dict[str, Any]) -> None:
        """Be what the ledger has kept."""
        for name, value in type(self).model_validate(kept):
            setattr(self, name, value)


Change = Callable[[dict[str, Any]], str | None]
"""Whether the monitor may be changed so; else why not."""


def monitor(journal: Journal, mailbox: Mailbox, state: MonitorState, look: Callable[[], Yields], why_not: Change) -> Yields:
    """One run: a check if it is due, then the wait for the next one or for one event. Gives the `Closing` that ends the monitor, or
    None: it goes on in another run.
    """
    ending = None
    if not state.paused and (state.next_at is None or state.next_at <= journal.now):
        ending = yield from look()
    if ending is None:
        mailbox.wait_until(journal.now + PAUSED_FOR if state.paused else state.next_at or journal.now)
        event = yield from mailbox.next(EVENTS)
        if event is not None and event.seq not in journal.handled:
            ending = yield from _take(journal, state, event, why_not)
    if ending is None:
        mailbox.continue_as_new(state.model_dump(mode="json"))
    return ending


def check(journal: Journal, state: MonitorState, activity: str, arguments: dict[str, Any]) -> Yields:
    """Make the next check; gives the activity's result.

    If the ledger knows a later check, because the engine has lost some, its result counts and the state is what it was then.
    """
    state.check_count += 1
    kept = {"state": state.model_dump(mode="json"), "handled": journal.handled}
    result = yield from journal.step(activity, arguments, iteration=state.check_count, repeats=kept, stage=state.stage)
    last = result.get(LAST)
    if last is not None and last["iteration"] > state.check_count:
        state.become(last["own"]["state"])
        journal.handled = list(dict.fromkeys([*last["own"]["handled"], *journal.handled]))
    return result


def wait_for(journal: Journal, state: MonitorState, seconds: float) -> None:
    """The next check is due so long after this one, as the ledger has it: a run that begins anew does not wait again."""
    state.next_at = (journal.recorded_at or journal.now) + timedelta(seconds=seconds)


def _take(journal: Journal, state: MonitorState, event: RaisedEvent, why_not: Change) -> Yields:
    """Act on one event and record that, now; gives a `Closing` if it ends the monitor."""
    given = validated_event(journal, Stage(journal.case.workflow, None, NEVER, journal.plan.accept_raw_raise), event)
    if not isinstance(given, Refused) and given.name == MONITOR_CHANGED:
        changes = {name: value for name, value in given.data.items() if value is not None and name != "job_id"}
        refusal = why_not(changes)
        given = given if refusal is None else Refused(refusal)
        if refusal is None:
            state.changes |= changes
    if isinstance(given, Refused):
        journal.refuse(event, given.reason)
    else:
        journal.use(given)
        if given.name == "monitor_stopped":
            return Closing(outcome=Outcome.COMPLETED, result={}, reason=given.data["reason"])
        state.paused = given.name == "monitor_paused" or (state.paused and given.name == MONITOR_CHANGED)
        state.next_at = None
    number = len(journal.handled) + len(journal.handled_direct)
    yield from journal.step("note_event", iteration=number, repeats={}, stage=state.stage)
    return None
