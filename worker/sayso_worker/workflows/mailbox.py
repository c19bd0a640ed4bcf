"""The mailbox: several event names and one deadline, nothing lost, order kept, each event at most once.

One pending task a name, made again only after it completed: a second wait of the same name would swallow an event, and so does a wait
that lost a `when_any` and was dropped (DAPR_FACTS, Raising events).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from dapr.ext.workflow import when_any

from sayso.contracts.workflow_io import RaisedEvent
from sayso_worker.workflows.journal import Journal, Yields


class Mailbox:
    """Made once a workflow, before its first wait."""

    def __init__(self, journal: Journal, names: Iterable[str]) -> None:
        self._journal = journal
        self._pending = {name: journal.ctx.wait_for_external_event(name) for name in names}
        self._seen: set[str] = set()
        self._timer: Any = None
        self.deadline = journal.case.opened_at

    def wait_until(self, deadline: datetime, grace: timedelta = timedelta(0)) -> None:
        """From now on `next` gives up at `deadline` plus `grace`."""
        self.deadline = deadline
        self._timer = self._journal.ctx.create_timer(max(deadline + grace - self._journal.now, timedelta(0)))

    def next(self) -> Yields:
        """The next event that has not been seen, or None when the time is over."""
        while not self._timer.is_complete:
            winner = yield when_any([*self._pending.values(), self._timer])
            for name, task in self._pending.items():
                if task is winner:
                    self._pending[name] = self._journal.ctx.wait_for_external_event(name)
                    event = RaisedEvent.from_engine(self._journal.case.instance_id, name, task.get_result())
                    if event.identity not in self._seen:
                        self._seen.add(event.identity)
                        return event
                    break
        return None
