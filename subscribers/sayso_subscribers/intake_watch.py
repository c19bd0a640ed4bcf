"""The intake lane: whether messages can be committed, and for how long yet.

In: what the handlers could not commit, and the free space where a ledger in a file is. Out: an alert when an outage is over (while it
lasts there is no ledger to write one in: the log and `/metrics` tell it), and an alarm before the disk is full.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.engine import make_url

from sayso.ledger import Ledger
from sayso.ledger.alarms import Reading, settle_alarm
from sayso.ledger.alerts import alert
from sayso.ledger.database import Transaction
from sayso.ledger.schema import ledger_info
from sayso.settings import AlarmSettings

log = structlog.get_logger()
MIB = 1024 * 1024
DISK_LOW = "ledger-disk-low"


@dataclass
class Outage:
    """A time in which messages stayed with the broker."""

    since: datetime
    refused: int = 0
    error: str = ""


class Intake:
    """What the handlers of one process could not commit. Only failures cost anything."""

    def __init__(self) -> None:
        self.refused = 0
        self.stopped = False
        self._lock = threading.Lock()
        self._outage: Outage | None = None

    def failed(self, error: str) -> None:
        """A message was not committed; the broker keeps it."""
        with self._lock:
            self._outage = self._outage or Outage(datetime.now(UTC))
            self._outage.refused += 1
            self._outage.error = error
            self.refused += 1
            self.stopped = True

    def worked(self) -> None:
        """A message was committed after others were not."""
        with self._lock:
            self.stopped = False

    def outage(self) -> Outage | None:
        """The outage that is over and was not told yet; it stays until `told`."""
        with self._lock:
            return None if self.stopped else self._outage

    def told(self, outage: Outage) -> None:
        """It is in the ledger."""
        with self._lock:
            if self._outage is outage:
                self._outage = None


class IntakeWatch:
    """One look at each call of `work`."""

    def __init__(self, ledger: Ledger, intake: Intake, settings: AlarmSettings) -> None:
        self._ledger = ledger
        self._intake = intake
        self._disk_free_min = settings.disk_free_mib * MIB

    def work(self) -> bool:
        """Tell what is to be told. There is never more to do at once."""
        outage = self._intake.outage()
        if outage is not None:
            self._ledger.transact(partial(_tell, outage=outage))
            self._intake.told(outage)
        reading = self._disk()
        if reading is not None and (reading.is_passed or (reading.is_calm and self._ledger.read(_is_raised))):
            self._ledger.transact(partial(settle_alarm, reading=reading))
        return False

    def _disk(self) -> Reading | None:
        free = free_bytes(self._ledger.url)
        if free is None:
            return None
        text = f"{free // MIB} MiB are free where the ledger is; when none are left, events stay with the broker"
        return Reading(DISK_LOW, self._disk_free_min / max(free, 1), 1, text)


def free_bytes(url: str) -> int | None:
    """Free space where a ledger in a file is; None for a server's."""
    place = make_url(url)
    if place.get_backend_name() != "sqlite" or not place.database:
        return None
    return shutil.disk_usage(Path(place.database).parent).free


def _tell(tx: Transaction, outage: Outage) -> None:
    since = outage.since.isoformat(timespec="seconds")
    reason = (
        f"from {since} on, {outage.refused} deliveries could not be committed and stayed with the broker; it is over: {outage.error}"
    )
    log.warning("intake works again", since=since, refused=outage.refused)
    alert(tx, "intake-stopped", occurrence=since, reason=reason, detail={"refused": outage.refused, "since": since})


def _is_raised(tx: Transaction) -> bool:
    found = tx.one(select(ledger_info.c.value).where(ledger_info.c.name == f"alarm:{DISK_LOW}"))
    return found is not None and found.value != ""
