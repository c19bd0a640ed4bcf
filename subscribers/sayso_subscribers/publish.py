"""The publishing lane: the outbox onto its topics, at least once, always with the same event id (ARCHITECTURE, invariant 7).

A batch's events of one key are published in ledger order. What failed is tried again later, and those after it do not wait for that:
who needs an order has the event's `time`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial

import structlog

from sayso.errors import TransientError
from sayso.lanes import backoff_ms
from sayso.ledger import Ledger
from sayso.ledger.outbox import Outgoing, lease_outgoing, mark_published, postpone
from sayso.ledger.schema import outbox
from sayso.publisher import Message, Publisher
from sayso.settings import DispatcherSettings

log = structlog.get_logger()
BATCH = 64
SOON = timedelta(milliseconds=20)
CALL_BYTES_MAX = 2 * 1024 * 1024
"""The sidecar takes 4 MiB a call. What is larger than this travels alone, so that it can only keep itself from being published."""


class OutboxPublisher:
    """Publishes due rows of the outbox, those of one topic and key in ledger order."""

    def __init__(self, ledger: Ledger, publisher: Publisher, settings: DispatcherSettings) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._settings = settings

    def work(self) -> bool | timedelta:
        """Publish one batch; returns whether there may be more. Who has found something looks again soon: workers write to the outbox
        too, and cannot wake another process.
        """
        lease_ms = int(self._settings.lease.total_seconds() * 1000)
        batch = self._ledger.transact(partial(lease_outgoing, lease_ms=lease_ms, limit=BATCH))
        by_topic: dict[str, list[Outgoing]] = defaultdict(list)
        for row in batch:
            by_topic[row.topic].append(row)
        failures: dict[int, str] = {}
        for topic, rows in by_topic.items():
            for call in _calls(rows):
                failures |= self._publish(topic, call)
        self._record(batch, failures)
        return True if len(batch) == BATCH else SOON if batch and not failures else False

    def _publish(self, topic: str, rows: list[Outgoing]) -> dict[int, str]:
        try:
            return self._publisher.publish(topic, [Message(row.seq, row.partition_key, row.body) for row in rows])
        except TransientError as error:
            log.warning("not published, will be tried again", topic=topic, events=len(rows), error=str(error))
            return dict.fromkeys((row.seq for row in rows), str(error))
        except Exception as error:  # a bug of ours on one topic must not keep the others from their events
            log.exception("not published, will be tried again", topic=topic, events=len(rows))
            return dict.fromkeys((row.seq for row in rows), f"internal error: {type(error).__name__}: {error}")

    def _record(self, batch: list[Outgoing], failures: dict[int, str]) -> None:
        published = [row.seq for row in batch if row.seq not in failures]
        if published:
            self._ledger.transact(partial(mark_published, seqs=published))
        for row in batch:
            if row.seq in failures:
                delay_ms = backoff_ms(row.attempts, self._settings.retry_interval_max)
                late = partial(postpone, table=outbox, seqs=[row.seq], delay_ms=delay_ms, error=failures[row.seq])
                self._ledger.transact(late)


def _calls(rows: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """Cut the rows, in order, into what one call may carry."""
    call: list[Outgoing] = []
    size = 0
    for row in rows:
        if call and size + len(row.body) > CALL_BYTES_MAX:
            yield call
            call, size = [], 0
        call.append(row)
        size += len(row.body)
    if call:
        yield call
