"""The alarms lane: looks at the ledger's health now and then, and tells what passes a limit, once (`sayso.ledger.alarms`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from sayso.ledger import Ledger
from sayso.ledger.alarms import changed, readings, settle_alarm
from sayso.ledger.queries.health import health
from sayso.settings import AlarmSettings

log = structlog.get_logger()


class AlarmWatch:
    """One look at each call of `work`; `after` is told when there is something to publish."""

    def __init__(self, ledger: Ledger, settings: AlarmSettings, after: Callable[[], None]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._after = after

    def work(self) -> bool:
        """Read; write only when an alarm is to be raised or ended. There is never more to do at once."""
        seen = self._ledger.read(partial(health, overdue_after=self._settings.case_overdue))
        for reading in changed(seen, readings(seen, self._settings)):
            raised = self._ledger.transact(partial(settle_alarm, reading=reading))
            if raised is not None:
                log.warning("alarm raised" if raised else "alarm ended", kind=reading.kind, reason=reading.text)
                self._after()
        return False
