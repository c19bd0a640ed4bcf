"""The driving lane: starts and wakes workflow instances.

In: due cases, leased as a whole. Out: engine calls, each with a deadline, in ledger order within a case and side by side between
cases; then one transaction that records what the engine took. After an unknown result it asks for the instance's state first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from functools import partial

import structlog

from sayso.contracts.catalog import DECISION_EVENTS
from sayso.contracts.workflow_io import RaisedEvent
from sayso.directory_http import directory_source
from sayso.engine import Engine, NoSuchInstanceError, UnreadableInstanceError
from sayso.errors import SaysoError
from sayso.lanes import backoff_ms
from sayso.ledger import Ledger
from sayso.ledger.database import Transaction
from sayso.ledger.driving import Job, lease_jobs, settle
from sayso.settings import Settings

log = structlog.get_logger()


class Driver:
    """Drives due cases with up to `engine_calls` calls at the same time."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        settings: Settings,
        pool: Executor | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._engine = engine
        self._settings = settings.dispatcher
        self._monotonic = monotonic
        self._directory = directory_source(settings)
        self._first_check_ms = int(settings.reconciler.check_interval.total_seconds() * 1000)
        self._pool = pool or ThreadPoolExecutor(settings.dispatcher.engine_calls, thread_name_prefix="drive")
        self._running: set[Future[bool]] = set()
        self._places = threading.Lock()
        self._again = threading.Event()

    def work(self) -> bool:
        """Lease as many cases as there are free places; returns whether to look again at once."""
        free = self._free()
        if free <= 0:
            wait(self._running, timeout=0.5, return_when=FIRST_COMPLETED)
            free = self._free()
        if free <= 0:
            return True
        jobs = self._ledger.transact(self._lease(free))
        self._begin(jobs)
        more = self._again.is_set()
        self._again.clear()
        return more or len(jobs) == free

    def follow(self) -> Callable[[], bool] | None:
        """Lease what the transactions that were submitted just now have made due: on SQLite behind them, in the same commit.

        The answer is called once they are done: it begins, and says whether there is more. None: no place is free.
        """
        free = self._free()
        if free <= 0:
            return None
        leased = self._ledger.submit(self._lease(free))

        def begin() -> bool:
            jobs = leased.result()
            self._begin(jobs)
            return len(jobs) == free

        return begin

    def _free(self) -> int:
        with self._places:
            self._running = {future for future in self._running if not future.done()}
            return self._settings.engine_calls - len(self._running)

    def _lease(self, limit: int) -> Callable[[Transaction], list[Job]]:
        return partial(lease_jobs, lease_ms=int(self._settings.lease.total_seconds() * 1000), limit=limit)

    def _begin(self, jobs: list[Job]) -> None:
        with self._places:
            self._running = self._running | {self._pool.submit(self._drive, job) for job in jobs}

    def stop(self) -> None:
        """Let the calls in hand finish."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _drive(self, job: Job) -> bool:
        started, raised, error, absent = self._call_engine(job)
        delay_ms = backoff_ms(job.attempts, self._settings.retry_interval_max)
        check_ms = 0 if absent else self._first_check_ms if started else None
        record = partial(settle, job=job, started=started, raised=raised, error=error, delay_ms=delay_ms, check_ms=check_ms)
        try:
            more = self._ledger.transact(record)
        except SaysoError as trouble:  # the lease runs out and the calls are made again; the workflow knows repetitions
            log.warning("not recorded, will be driven again", instance_id=job.instance_id, error=str(trouble))
            return False
        except Exception:  # nobody reads the future: a bug of ours must be seen; the lease runs out here too
            log.exception("not recorded, will be driven again", instance_id=job.instance_id)
            return False
        if more:
            self._again.set()
        return more

    def _call_engine(self, job: Job) -> tuple[bool, list[int], str | None, bool]:
        """Whether it was started, what was raised, the error, and whether the error is that the engine has no such instance, or cannot
        read it.
        """
        started, raised = False, []
        until = self._monotonic() + self._settings.lease.total_seconds() / 2
        try:
            if job.start:
                self._start(job)
                started = True
            for place, event in enumerate(job.events):
                if self._monotonic() > until:
                    break  # the lease must outlive the calls; what is left is due again at once
                looked_up = self._entitled(job, event, used_before=place < job.again)
                self._engine.raise_event(job.engine_id, event.name, looked_up.as_payload())
                raised.append(event.seq or 0)
        except SaysoError as error:
            log.warning("engine call failed", instance_id=job.instance_id, attempt=job.attempts, error=str(error))
            unreadable = isinstance(error, UnreadableInstanceError)  # something is there: what to do is the reconciler's to say
            return started or unreadable, raised, str(error), unreadable or isinstance(error, NoSuchInstanceError)
        except Exception as error:  # a bug of ours must be seen at the case, and must not make it wait for its lease
            log.exception("engine call failed", instance_id=job.instance_id, attempt=job.attempts)
            return started, raised, f"internal error: {type(error).__name__}: {error}", False
        return started, raised, None, False

    def _entitled(self, job: Job, event: RaisedEvent, *, used_before: bool) -> RaisedEvent:
        """A decision says whether its approver may decide now, not when it was sent. One that an earlier run used stays used."""
        if event.name not in DECISION_EVENTS:
            return event
        if job.seated is not None:
            return event.model_copy(update={"members": self._members(job.seated, used_before=used_before)})
        if job.only_members_of is None:
            return event
        may = used_before or self._directory.current().has_member(job.only_members_of, str(event.data.get("approver")))
        return event.model_copy(update={"entitled": may})

    def _members(self, seated: Mapping[str, tuple[str, ...]], *, used_before: bool) -> dict[str, tuple[str, ...]]:
        """Who of those that hold seats by a group belongs to it now."""
        if used_before or not seated:
            return dict(seated)
        directory = self._directory.current()
        return {group: tuple(one for one in holders if directory.has_member(group, one)) for group, holders in seated.items()}

    def _start(self, job: Job) -> None:
        """A second attempt follows an unknown result: Dapr would run an instance that has ended once more."""
        if job.attempts > 1 and self._engine.state(job.engine_id) is not None:
            return
        self._engine.start(job.workflow, job.engine_id, job.input)
