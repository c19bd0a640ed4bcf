"""The ledger's health as metrics, read when somebody asks; several who ask at once share an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sayso.errors import SaysoError
from sayso.ledger import Ledger
from sayso.ledger.queries.health import Health, Waiting, finished_events, health
from sayso.settings import AlarmSettings
from sayso_subscribers.intake_watch import Intake, free_bytes

log = structlog.get_logger()
FRESH_SECONDS = 2.0
FINISHED_FRESH_SECONDS = 60.0
"""Counts of finished events grow with the ledger, and so does the cost of counting them."""


class LedgerCollector(Collector):
    """Reads the ledger at a scrape."""

    def __init__(self, ledger: Ledger, settings: AlarmSettings) -> None:
        self._ledger = ledger
        self._overdue_after = settings.case_overdue
        self._lock = threading.Lock()
        self._health: tuple[float, Health] | None = None
        self._finished: tuple[float, dict[str, int]] | None = None

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`. A ledger that cannot be read is a number too."""
        try:
            seen, finished = self._read()
        except SaysoError as error:
            log.warning("no numbers of the ledger", error=str(error))
            yield GaugeMetricFamily("sayso_ledger_readable", READABLE, 0)
            return
        yield GaugeMetricFamily("sayso_ledger_readable", READABLE, 1)
        yield from _metrics(seen, finished)
        free = free_bytes(self._ledger.url)
        if free is not None:
            yield GaugeMetricFamily("sayso_ledger_disk_free_bytes", "Free space of the file system that holds the ledger.", free)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the ledger."""
        return iter(())

    def _read(self) -> tuple[Health, dict[str, int]]:
        with self._lock:
            now = time.monotonic()
            if self._health is None or now - self._health[0] > FRESH_SECONDS:
                self._health = now, self._ledger.read(partial(health, overdue_after=self._overdue_after))
            if self._finished is None or now - self._finished[0] > FINISHED_FRESH_SECONDS:
                self._finished = now, self._ledger.read(finished_events)
            return self._health[1], self._finished[1]


READABLE = "Whether the ledger can be read: 0 or 1."


class IntakeCollector(Collector):
    """What this process could not commit."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        yield CounterMetricFamily(
            "sayso_intake_refused", "Deliveries that were not committed and left to the broker.", self._intake.refused
        )
        yield GaugeMetricFamily(
            "sayso_intake_stopped", "Whether the last delivery could not be committed: 0 or 1.", self._intake.stopped
        )


def _metrics(seen: Health, finished: dict[str, int]) -> Iterator[Metric]:
    yield CounterMetricFamily("sayso_events_received", "Events that were ever received.", seen.received)
    by_state = GaugeMetricFamily("sayso_events", "Events by state; finished ones may be a minute old.", labels=["state"])
    for state, rows in sorted({**finished, **seen.events}.items()):
        by_state.add_metric([state], rows)
    yield by_state
    yield GaugeMetricFamily("sayso_events_failed_last_hour", "Events that went dead within the last hour.", seen.failed_last_hour)
    yield from _waiting("undispatched", "Rows that wait to be dispatched", seen.undispatched, seen)
    yield from _waiting("outbox", "Events that wait to be published", seen.outbox, seen)
    yield from _waiting("notices", "Notices that wait to be sent", seen.notices, seen)
    open_cases = GaugeMetricFamily("sayso_cases_open", "Open cases.", labels=["workflow", "phase"])
    for (workflow, phase), rows in sorted(seen.cases_open.items()):
        open_cases.add_metric([workflow, phase], rows)
    yield open_cases
    yield GaugeMetricFamily("sayso_cases_overdue", "Open cases that are past their deadline.", seen.cases_overdue)
    yield GaugeMetricFamily("sayso_cases_in_trouble", "Open cases whose last engine call failed.", seen.cases_in_trouble)
    raised = GaugeMetricFamily("sayso_alarm_raised_seconds", "Since when an alarm is raised, seconds since 1970.", labels=["kind"])
    for kind, since in sorted(seen.alarms.items()):
        raised.add_metric([kind], since.timestamp())
    yield raised


def _waiting(name: str, what: str, waiting: Waiting, seen: Health) -> Iterator[Metric]:
    yield GaugeMetricFamily(f"sayso_{name}_rows", f"{what}.", waiting.rows)
    yield GaugeMetricFamily(f"sayso_{name}_oldest_seconds", f"{what}: age of the oldest.", waiting.seconds(seen.at))
