"""The notices lane of the worker: notices that transactions have queued, through apprise, at least once."""

from __future__ import annotations

import time
from functools import partial

import structlog

from sayso.errors import SaysoError
from sayso.lanes import backoff_ms
from sayso.ledger import Ledger
from sayso.ledger.outbox import lease_notices, mark_sent, postpone
from sayso.ledger.schema import notices
from sayso.notices.sender import NoticeSender
from sayso.settings import DispatcherSettings

log = structlog.get_logger()
BATCH = 16
LEASE_MS = 180_000
SENDING_SECONDS = 60.0
"""Then what is left of a batch is given back: an endpoint that hangs takes half a minute, and the lease must outlive the last one."""


class NoticeLane:
    """Sends due notices."""

    def __init__(self, ledger: Ledger, sender: NoticeSender, settings: DispatcherSettings) -> None:
        self._ledger = ledger
        self._sender = sender
        self._settings = settings

    def work(self) -> bool:
        """Send one batch; a notice that fails waits and does not hold up the others."""
        batch = self._ledger.transact(partial(lease_notices, lease_ms=LEASE_MS, limit=BATCH))
        until = time.monotonic() + SENDING_SECONDS
        sent, left, failed = [], [], []
        for notice in batch:
            if time.monotonic() > until:
                left.append(notice.seq)
                continue
            try:
                self._sender.send(notice.recipient, notice.title, notice.body, notice.notice_id)
                sent.append(notice.seq)
            except SaysoError as error:
                log.warning("notice not sent, will be tried again", notice=notice.notice_id, error=str(error))
                failed.append((notice, str(error)))
            except Exception as error:  # a bug of ours on one notice must not have the others sent twice, or not at all
                log.exception("notice not sent, will be tried again", notice=notice.notice_id)
                failed.append((notice, f"internal error: {type(error).__name__}: {error}"))
        if sent:  # first: what fails from here on would send them again
            self._ledger.transact(partial(mark_sent, seqs=sent))
        for notice, why in failed:
            delay_ms = backoff_ms(notice.attempts, self._settings.retry_interval_max)
            self._ledger.transact(partial(postpone, table=notices, seqs=[notice.seq], delay_ms=delay_ms, error=why))
        if left:
            self._ledger.transact(partial(postpone, table=notices, seqs=left, delay_ms=0, error="its turn did not come in time"))
        return len(batch) == BATCH
