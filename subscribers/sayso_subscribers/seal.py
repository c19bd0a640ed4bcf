"""The sealing lane: audit entries into the chain, and its end to the log and a topic, where the ledger's keepers cannot change it.

In: committed audit entries, of whatever process. Out: `sayso.ledger.sealing`. A key that does not fit stops the sealing, with an
alert, and nothing else: entries wait unsealed and are sealed when it is back.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog

from sayso.errors import ConfigurationError
from sayso.lanes import Lane
from sayso.ledger import Ledger
from sayso.ledger.alerts import alert
from sayso.ledger.audit_key import AuditKey, load_audit_key
from sayso.ledger.sealing import BATCH, anchor_chain, begin_chain, chain_head, seal_batch
from sayso.settings import Settings

log = structlog.get_logger()
POLL_INTERVAL = timedelta(milliseconds=500)


class Sealer:
    """Seals what is unsealed; several on one ledger take turns."""

    def __init__(self, ledger: Ledger, settings: Settings, ledger_id: str) -> None:
        self._ledger = ledger
        self._settings = settings
        self._ledger_id = ledger_id
        self._anchor_interval_ms = int(settings.audit.anchor_interval.total_seconds() * 1000)
        self._key: AuditKey | None = None
        self._complaint = ""

    def work(self) -> bool:
        """Seal one batch; returns whether there may be more."""
        try:
            key = self._key = self._key or self._usable_key()
        except (ConfigurationError, OSError) as error:
            self._complain(str(error))
            return False
        more = seal_batch(self._ledger, key) == BATCH
        if not more:
            self._anchor()
        return more

    def _usable_key(self) -> AuditKey:
        """The key that this chain is sealed with; a chain that has not begun takes the one there is."""
        head = self._ledger.read(chain_head)
        key = load_audit_key(self._settings, may_create=head is None)
        if head is None:
            self._ledger.transact(partial(begin_chain, key=key, ledger_id=self._ledger_id))
            head = self._ledger.read(chain_head)
        if head is None or head.key_mark != key.mark:
            raise ConfigurationError("the audit key is not the one that this ledger was sealed with: bring that one back")
        return key

    def _anchor(self) -> None:
        last = self._ledger.read(chain_head)
        if last is None or last.number == last.anchored_number:
            return  # nothing new: no writing transaction
        anchor = self._ledger.transact(partial(anchor_chain, ledger_id=self._ledger_id, interval_ms=self._anchor_interval_ms))
        if anchor is not None:
            log.info("audit anchor", ledger=anchor.ledger, number=anchor.number, seal=anchor.seal)

    def _complain(self, reason: str) -> None:
        if reason == self._complaint:
            return
        self._complaint = reason
        log.error("audit entries are not sealed", reason=reason)
        self._ledger.transact(partial(alert, kind="audit-key-unusable", occurrence=self._ledger_id, reason=reason))


def sealing_lane(ledger: Ledger, settings: Settings, ledger_id: str) -> Lane:
    """The lane, not started."""
    return Lane("seal", Sealer(ledger, settings, ledger_id).work, POLL_INTERVAL)
