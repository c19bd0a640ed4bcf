"""The reconciling lane: open cases are compared with the engine, ever less often the older they are.

In: running cases whose comparison is due. Out: for each one question to the engine, a second one for its history if events were raised
to it, and one transaction with what was found (`sayso.ledger.reconciling`). An error is not an absence: then it is asked again later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import structlog

from sayso.contracts.engine_ids import run_of_engine_id
from sayso.contracts.workflow_io import Account
from sayso.correlation.bindings import Bindings
from sayso.engine import Engine, InstanceState, UnreadableInstanceError
from sayso.errors import TransientError
from sayso.ledger import Ledger
from sayso.ledger.rebuilding import close_by_engine, record_account
from sayso.ledger.reconciling import (
    Check,
    check_all_soon,
    found_absent,
    found_running,
    found_stuck,
    found_unreadable,
    lease_checks,
    postpone_check,
)
from sayso.ledger.restoring import survey_done, survey_wanted, unknown_of
from sayso.settings import Settings
from sayso_subscribers.account import account_of, identities_in
from sayso_subscribers.unanswered import unanswered

log = structlog.get_logger()
BATCH = 16
LEASE_SECONDS = 60.0
RETRY_MS = 15_000
SURVEYED_AT_ONCE = 200


class Reconciler:
    """Compares one batch at each call of `work`."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        bindings: Bindings,
        settings: Settings,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._ledger = ledger
        self._monotonic = monotonic
        self._now = now or partial(datetime.now, UTC)
        self._engine = engine
        self._bindings = bindings
        self._settings = settings.reconciler
        self._all_checked_at: float | None = None
        self._surveyed_at: float | None = None

    def work(self) -> bool:
        """Compare; returns whether there may be more."""
        self._survey_when_wanted()
        until = self._monotonic() + LEASE_SECONDS / 2
        take = partial(lease_checks, settings=self._settings, lease_ms=int(LEASE_SECONDS * 1000), limit=BATCH)
        batch = self._ledger.transact(take)
        for check in batch:
            if self._monotonic() > until:
                return False  # a slow engine is not hurried; what is left comes back when its lease is over
            self._compare(check)
        return len(batch) == BATCH

    @property
    def has_surveyed(self) -> bool:
        """Whether the engine was asked what a restored ledger does not know; before that no event may open a case."""
        return self._surveyed_at is not None

    def _survey_when_wanted(self) -> None:
        now = self._monotonic()
        if self._surveyed_at is None or now - self._surveyed_at > RETRY_MS / 1000:
            if self._ledger.read(survey_wanted):
                self._survey()
            self._surveyed_at = now

    def _survey(self) -> None:
        """Rebuild every case of this ledger that only the engine knows, earlier generations first."""
        unknown: set[str] = set()
        ids = iter(self._engine.instance_ids())
        while some := list(islice(ids, SURVEYED_AT_ONCE)):
            unknown |= self._ledger.read(partial(unknown_of, instance_ids=some))
        accounts = [
            account.model_copy(update={"run": run_of_engine_id(one)})
            for one in unknown
            if (account := self._account(one, self._engine.state(one))) is not None
        ]
        done = True
        for account in sorted(accounts, key=lambda account: (account.given.case.generation, -account.run)):
            done &= self._ledger.transact(partial(record_account, account=account, bindings=self._bindings))
        log.info("asked the engine for cases that the ledger lacks", found=len(accounts), done=done)
        if done:
            self._ledger.transact(survey_done)

    def _compare(self, check: Check) -> None:
        try:
            self._judge(check)
        except UnreadableInstanceError as error:
            if self._ledger.transact(partial(found_unreadable, check=check, settings=self._settings)):
                log.warning("an instance stayed unreadable: started again as another", instance_id=check.instance_id, error=str(error))
        except TransientError as error:
            log.info("not compared, will be tried again", instance_id=check.instance_id, error=str(error))
            self._ledger.transact(partial(postpone_check, check=check, delay_ms=RETRY_MS))
        except Exception:  # a bug of ours on one case must not keep the others from being looked at
            log.exception("not compared, will be tried again", instance_id=check.instance_id)
            self._ledger.transact(partial(postpone_check, check=check, delay_ms=int(LEASE_SECONDS * 1000)))

    def _judge(self, check: Check) -> None:
        state = self._engine.state(check.engine_id)
        if state is not None and check.whole and (account := self._account(check.engine_id, state)) is not None:
            self._ledger.transact(partial(record_account, account=account, bindings=self._bindings))
        if state is None:
            if self._ledger.transact(partial(found_absent, check=check, settings=self._settings)):
                log.warning("the engine had lost an instance: it is started again", instance_id=check.instance_id)
            self._look_at_all()
        elif (activity := "its end" if state.is_discarded else self._unanswered(check, state)) is not None:
            if not state.is_discarded:
                self._engine.discard(check.engine_id)
            self._ledger.transact(partial(found_stuck, check=check, activity=activity))
            log.warning("an instance was stuck: ended, started again as another", instance_id=check.instance_id, activity=activity)
        elif state.has_ended:
            self._close(check, state)
        else:
            seen = identities_in(check.instance_id, self._engine.history(check.engine_id)) if check.raised else set()
            record = partial(found_running, check=check, settings=self._settings, status=state.status, seen=seen)
            if self._ledger.transact(record):
                log.warning("events were not in an instance's history: raised again", instance_id=check.instance_id)

    def _unanswered(self, check: Check, state: InstanceState) -> str | None:
        """The activity that an instance waits for in vain. One that did something lately is not asked for its history."""
        before = self._now() - self._settings.stuck_after
        if state.status != "RUNNING" or state.updated_at.replace(tzinfo=UTC) > before:
            return None
        return unanswered(self._engine.history(check.engine_id), before)

    def _close(self, check: Check, state: InstanceState) -> None:
        account = self._account(check.engine_id, state)
        ended = partial(close_by_engine, check=check, account=account, status=state.status, failure=state.failure)
        outcome = self._ledger.transact(partial(ended, bindings=self._bindings))
        if outcome is not None:
            log.warning("an instance had ended, its case had not", instance_id=check.instance_id, outcome=outcome.value)

    def _account(self, engine_id: str, state: InstanceState | None) -> Account | None:
        return account_of(self._engine.history(engine_id), state.custom_status if state is not None else None)

    def _look_at_all(self) -> None:
        """A lost instance is seldom alone; looking at all is done at most as often as a case is looked at anyway."""
        now = self._monotonic()
        pause = self._settings.check_interval.total_seconds()
        if self._all_checked_at is None or now - self._all_checked_at > pause:
            self._all_checked_at = now
            self._ledger.transact(check_all_soon)
