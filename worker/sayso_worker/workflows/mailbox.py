"""The mailbox: several event names and one deadline, nothing lost, order kept, each event at most once.

A wait that lost a `when_any` and was dropped would swallow the next event of its name (tests/integration/test_dapr_facts.py), so there
is at most one a name, kept until it completes. Waits are made late, and the time-out of one of them is the deadline: the SDK makes a
timer for every wait, also for one without end, and each timer is a job of the scheduler, which costs more than a turn of the workflow.
The engine buffers what comes meanwhile, in order; a wait with no time at all takes it from there and makes no timer. An event that
nobody asks for yet is kept until somebody does.

A workflow that continues as new goes on with the same mailbox: what it has seen and kept is in the next run's input (`Carried`), and
what the engine has buffered comes after it.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from dapr.ext.workflow import when_any
from dapr.ext.workflow._durabletask.task import CompletableTask

from sayso.contracts.workflow_io import RaisedEvent
from sayso_worker.workflows.journal import Journal, Yields

AT_ONCE = timedelta(0)
SOON = timedelta(milliseconds=1)
ONE_TIMER = "one-timer"
"""The patch since which only one wait of several has a timer."""
DIRECT_MAX = 1_000
"""How many identities of events that were raised past the ledger, which has no quota for them, the next run gets to know."""


class Mailbox:
    """Made once a workflow, before its first wait. What it keeps when the case ends has not been used (`Journal.leftovers`)."""

    def __init__(self, journal: Journal, names: Iterable[str]) -> None:
        self._journal: Journal = weakref.proxy(journal)  # it knows the mailbox: they would hold each other, long after the turn
        self._names = list(names)
        self._pending: dict[str, Any] = {}
        self._kept = list(journal.carried.kept)
        self._seen = dict.fromkeys(journal.carried.seen)
        self._seen_direct = dict.fromkeys(journal.carried.seen_direct)
        self._until = journal.now
        self._is_over = True
        self._timer: Any = None
        self._has_one_timer = len(self._names) > 1 and journal.ctx.is_patched(ONE_TIMER)
        self._limits: dict[str, datetime] = {}
        self._received: dict[str, list[Any]] = journal.ctx._received_events
        journal.leftovers = self._leftovers

    def wait_until(self, deadline: datetime, grace: timedelta = AT_ONCE) -> None:
        """From now on `next` gives up at `deadline` plus `grace`; what has come by then is given before, even if that has passed."""
        self._until = deadline + grace
        self._is_over = False
        self._timer = None

    def next(self, names: Collection[str]) -> Yields:
        """The next event of one of `names` that has not been seen, or None when the time is over; the other names' events stay.

        Time is looked at between any two events: who floods a case with refused ones does not keep its deadline from passing.
        """
        while not self._is_over:
            self._collect()
            found = next((event for event in self._kept if event.name in names), None)
            if found is not None:
                self._kept.remove(found)
            else:
                yield when_any(self._waits_with_timer(names))
            self._is_over = self._journal.now >= self._until
            if found is not None:
                return found
        return None

    def continue_as_new(self, own: dict[str, Any] | None = None) -> None:
        """End this run and begin the next one, which finds `own` in `Journal.carried`; the workflow has to return at once.

        No event is lost or used twice: what has come is carried in the input; what comes from now on, even in this same turn, is
        buffered by the SDK, because no wait of this run is left to swallow it, and becomes the next run's.
        """
        self._collect()
        self._withdraw_waits()
        self._journal.continue_as_new(
            seen=list(self._seen), seen_direct=list(self._seen_direct)[-DIRECT_MAX:], kept=self._kept, own=own or {}
        )

    def _withdraw_waits(self) -> None:
        """The SDK has no public way to take a wait back; tests/integration/test_dapr_facts.py holds it to this one."""
        waiting = self._journal.ctx._pending_events
        for name in self._pending:
            waiting.pop(name.casefold(), None)
        self._pending.clear()

    def _waits_with_timer(self, names: Collection[str]) -> list[Any]:
        """One wait a name, one of which ends at the deadline (before `ONE_TIMER`: all that are made now); else a timer."""
        if self._timer is not None and self._timer.is_complete:
            self._timer = None
        asked = [name for name in self._names if name in names]
        missing = [name for name in asked if name not in self._pending]
        for name in missing:
            if self._has_one_timer and self._is_limited(asked):
                self._pending[name] = self._wait_without_timer(name)
            else:
                self._pending[name] = self._journal.ctx.wait_for_external_event(name, timeout=self._left)
                self._limits[name] = self._until
        if not missing and not (self._has_one_timer and self._is_limited(asked)) and self._timer is None:
            self._timer = self._journal.ctx.create_timer(self._left)
        return [self._pending[name] for name in asked] + ([self._timer] if self._timer is not None else [])

    @property
    def _left(self) -> timedelta:
        return max(self._until - self._journal.now, SOON)

    def _is_limited(self, asked: Iterable[str]) -> bool:
        """Whether one of these waits ends at the deadline."""
        ends = (self._limits.get(name) for name in asked if name in self._pending)
        return self._timer is not None or self._until in ends

    def _wait_without_timer(self, name: str) -> Any:
        """The SDK has no public way to wait without one; monitors and withdrawals on the stack hold it to this one."""
        wait: Any = CompletableTask()
        self._journal.ctx._pending_events.setdefault(name.casefold(), []).append(wait)
        return wait

    def _collect(self) -> None:
        """Take in what has arrived. While the workflow was busy that may be several names: then the ledger's order holds.

        What a lost run had used comes first: an event with a lower number may have been routed after it.
        """
        arrived = []
        for name in self._names:
            for payload in self._arrived(name):
                event = RaisedEvent.from_engine(self._journal.case.instance_id, name, payload)
                seen = self._seen_direct if event.seq is None else self._seen
                if event.identity not in seen:
                    seen[event.identity] = None
                    arrived.append(event)
        self._kept += sorted(arrived, key=lambda event: (not event.again, event.seq is None, event.seq or 0))

    def _arrived(self, name: str) -> Iterator[Any]:
        """What the wait for this name has got, unless it timed out, and what the engine has buffered behind it."""
        wait = self._pending.get(name)
        if wait is not None and not wait.is_complete:
            return
        if wait is not None and not self._pending.pop(name).is_failed:
            yield wait.get_result()
        if name.casefold() not in self._received:
            return  # the wait below would say the same, and cost more
        wait = self._journal.ctx.wait_for_external_event(name, timeout=AT_ONCE)
        while not wait.is_failed:
            yield wait.get_result()
            wait = self._journal.ctx.wait_for_external_event(name, timeout=AT_ONCE)

    def _leftovers(self) -> list[RaisedEvent]:
        self._collect()
        left, self._kept = self._kept, []
        return left
