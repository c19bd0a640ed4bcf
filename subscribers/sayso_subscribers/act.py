"""The acting lane: what operators asked for is told to the engine, in the order of each case's acts.

In: due acts (`sayso.ledger.acts`). Out: one engine call each, and one transaction that says what came of it. A call whose answer was
lost is made again: every act may be told twice. What the engine does not know (yet) is told again for a while, because the case may be
just being started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType

import structlog

from sayso.engine import Engine, NoSuchInstanceError
from sayso.errors import TransientError
from sayso.lanes import backoff_ms
from sayso.ledger import Ledger
from sayso.ledger.act_rows import Act
from sayso.ledger.acts import DueAct, act_done, act_failed, lease_acts, still_wanted
from sayso.settings import DispatcherSettings

log = structlog.get_logger()
BATCH = 8
OUTPUT = "terminated by an operator of Sayso"
ANSWERS: Mapping[Act, str] = MappingProxyType(
    {
        Act.SUSPEND: "suspended in the engine",
        Act.RESUME: "resumed in the engine",
        Act.TERMINATE: "terminated in the engine",
        Act.PURGE: "purged from the engine",
    }
)
LEASES_OF_PATIENCE = 3
"""So long a start that was in hand may still come to the engine: then what it does not know never will be known."""


class ActLane:
    """Tells one batch at each call of `work`."""

    def __init__(self, ledger: Ledger, engine: Engine, settings: DispatcherSettings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._calls: Mapping[Act, Callable[[str], None]] = {
            Act.SUSPEND: engine.suspend,
            Act.RESUME: engine.resume,
            Act.TERMINATE: partial(engine.terminate, output=OUTPUT),
            Act.PURGE: engine.purge,
        }

    def work(self) -> bool:
        """Tell what is due; returns whether there may be more."""
        lease_ms = self._ms(self._settings.lease)
        batch = self._ledger.transact(partial(lease_acts, lease_ms=lease_ms, limit=BATCH))
        for act in batch:
            self._carry_out(act)
        return bool(batch)

    def _carry_out(self, act: DueAct) -> None:
        if not self._ledger.read(partial(still_wanted, act=act)):
            self._ledger.transact(partial(act_done, act=act, answer="its case has ended", void=True))
            return
        try:
            self._calls[act.act](act.engine_id)
        except NoSuchInstanceError as error:
            if act.age_ms > LEASES_OF_PATIENCE * self._ms(self._settings.lease):
                self._ledger.transact(partial(act_done, act=act, answer="the engine does not know it", void=True))
            else:
                self._again(act, error)
        except TransientError as error:
            self._again(act, error)
        else:
            self._ledger.transact(partial(act_done, act=act, answer=ANSWERS[act.act]))
            log.info("an operator's act was carried out", instance_id=act.instance_id, act=act.act.value, actor=act.actor)

    def _again(self, act: DueAct, error: TransientError) -> None:
        delay_ms = backoff_ms(act.attempts, self._settings.retry_interval_max)
        self._ledger.transact(partial(act_failed, act=act, error=str(error), delay_ms=delay_ms))

    @staticmethod
    def _ms(span: timedelta) -> int:
        return int(span.total_seconds() * 1000)
