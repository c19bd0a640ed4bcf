"""The mailbox: several event names and one deadline, nothing lost, order kept, each event at most once.

One pending task a name, made again only after it completed: a second wait of the same name would swallow an event, and so does a wait
that lost a `when_any` and was dropped (tests/integration/test_dapr_facts.py). An event that
nobody asks for yet is kept until somebody does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from dapr.ext.workflow import when_any

from sayso.contracts.workflow_io import RaisedEvent
from sayso_worker.workflows.journal import Journal, Yields


class Mailbox:
    """Made once a workflow, before its first wait. What it keeps when the case ends has not been used (`Journal.leftovers`)."""

    def __init__(self, journal: Journal, names: Iterable[str]) -> None:
        self._journal = journal
        self._pending = {name: journal.ctx.wait_for_external_event(name) for name in names}
        self._kept: list[RaisedEvent] = []
        self._seen: set[str] = set()
        self._timer: Any = None
        journal.leftovers = self._leftovers

    def wait_until(self, deadline: datetime, grace: timedelta = timedelta(0)) -> None:
        """From now on `next` gives up at `deadline` plus `grace`."""
        self._timer = self._journal.ctx.create_timer(max(deadline + grace - self._journal.now, timedelta(0)))

    def next(self, names: Collection[str]) -> Yields:
        """The next event of one of `names` that has not been seen, or None when the time is over; the other names' events stay.

        The timer comes first: who floods a case with events that are refused does not keep its deadline from passing.
        """
        while not self._timer.is_complete:
            self._collect()
            for event in self._kept:
                if event.name in names:
                    self._kept.remove(event)
                    return event
            yield when_any([*self._pending.values(), self._timer])
        return None

    def _collect(self) -> None:
        """Take in what has arrived. While the workflow was busy that may be several names: then the ledger's order holds."""
        arrived = []
        for name in self._pending:
            while self._pending[name].is_complete:
                payload = self._pending[name].get_result()
                self._pending[name] = self._journal.ctx.wait_for_external_event(name)
                event = RaisedEvent.from_engine(self._journal.case.instance_id, name, payload)
                if event.identity not in self._seen:
                    self._seen.add(event.identity)
                    arrived.append(event)
        self._kept += sorted(arrived, key=lambda event: (event.seq is None, event.seq or 0))

    def _leftovers(self) -> list[RaisedEvent]:
        self._collect()
        left, self._kept = self._kept, []
        return left
