"""The routing lane: committed messages, in ledger order, each to its place.

In: due rows of `events`. Out: for each one transaction that gives it its next state (`sayso.ledger.routing`). A signature is looked at
before that transaction claims the event's identity.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial

import structlog

from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.errors import TransientError
from sayso.lanes import backoff_ms
from sayso.ledger import Ledger
from sayso.ledger.cases import Rules
from sayso.ledger.routing import DueEvent, due_events, expire, postpone_routing, route
from sayso.ledger.states import EventState
from sayso.signing.notary import Vouch

log = structlog.get_logger()
BATCH = 64


Followed = Callable[[], bool]
"""Begins what the routed events have made due; whether there is more of it."""


class Router:
    """Routes due events; `follow` may lease what they make due in their own commit, `after` is told whether more is due than that."""

    def __init__(
        self,
        ledger: Ledger,
        bindings: Bindings,
        vouch: Vouch,
        rules: Rules,
        after: Callable[[bool], None],
        follow: Callable[[], Followed | None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._bindings = bindings
        self._vouch = vouch
        self._rules = rules
        self._after = after
        self._follow = follow

    def work(self) -> bool:
        """Route one batch. Correlation happens outside the transaction: it only reads the bytes."""
        batch = self._ledger.read(partial(due_events, limit=BATCH))
        if not batch:
            return False
        answers = [(event, self._submit(event)) for event in batch]
        more = self._begin_what_follows()  # first: what was leased must not wait for its lease to run out
        for event, answer in answers:
            self._collect(event, answer)
        self._after(more)
        return len(batch) == BATCH

    def _begin_what_follows(self) -> bool:
        followed = self._follow()
        try:
            return followed() if followed is not None else True
        except TransientError:
            return True  # the driving lane leases it

    def _submit(self, event: DueEvent) -> Future[EventState | None]:
        if event.state is EventState.HELD:
            return self._ledger.submit(partial(expire, seq=event.seq))
        try:
            verdict = self._vouch(correlate(self._bindings, event.topic, event.original), event.received_at)
        except Exception as error:  # noqa: BLE001 - as below: `_collect` says what was wrong
            failed: Future[EventState | None] = Future()
            failed.set_exception(error)
            return failed
        return self._ledger.submit(partial(route, seq=event.seq, verdict=verdict, rules=self._rules, digest=event.digest))

    def _collect(self, event: DueEvent, answer: Future[EventState | None]) -> None:
        try:
            state = answer.result()
        except TransientError:
            raise
        except Exception as error:  # a bug of ours must neither lose the event nor block the ones behind it
            log.exception("routing failed", seq=event.seq, topic=event.topic)
            delay_ms = backoff_ms(8, timedelta(minutes=1))
            reason = f"internal error, will be tried again: {type(error).__name__}: {error}"
            self._ledger.transact(partial(postpone_routing, seq=event.seq, delay_ms=delay_ms, reason=reason))
        else:
            log.debug("routed", seq=event.seq, topic=event.topic, state=state)
