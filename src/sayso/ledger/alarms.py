"""Alarms: limits that the ledger's health may pass, each told once for each time that it does.

In: `Health` and the settings. Out: an alert when a limit is passed; the alarm stays raised until the number is clearly back
(`CALM_RATIO`), and only then can it be raised again. Which are raised is in the ledger, so that restarts and replicas tell nothing
twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update

from sayso.ledger import audit
from sayso.ledger.alerts import alert
from sayso.ledger.database import Transaction
from sayso.ledger.queries.health import ALARM_PREFIX, Health
from sayso.ledger.schema import ledger_info
from sayso.ledger.statements import locked, upsert
from sayso.settings import AlarmSettings

CALM_RATIO = 0.5
"""An alarm ends when its number is at most this part of the limit: one that hovers about the limit is told once."""


@dataclass(frozen=True)
class Reading:
    """One number with its limit. `text` says it to a person."""

    kind: str
    value: float
    limit: float
    text: str

    @property
    def is_passed(self) -> bool:
        """Whether the alarm is to be raised."""
        return self.value > self.limit

    @property
    def is_calm(self) -> bool:
        """Whether a raised alarm is over."""
        return self.value <= self.limit * CALM_RATIO


def readings(health: Health, settings: AlarmSettings) -> list[Reading]:
    """Every alarm of the ledger, with its number of now."""
    undispatched, waiting = health.undispatched.seconds(health.at), health.outbox.seconds(health.at)
    return [
        Reading(
            "dead-letters-many",
            health.failed_last_hour,
            settings.dead_letters_an_hour,
            f"{health.failed_last_hour} events went dead within the last hour; see: sayso dead list --since PT1H",
        ),
        Reading(
            "dispatcher-behind",
            undispatched,
            settings.undispatched.total_seconds(),
            f"{health.undispatched.rows} rows wait to be dispatched, the oldest for {undispatched:.0f} s; see: sayso status",
        ),
        Reading(
            "outbox-behind",
            waiting,
            settings.outbox.total_seconds(),
            f"{health.outbox.rows} events wait to be published, the oldest for {waiting:.0f} s; see: sayso outbox --pending",
        ),
        Reading(
            "cases-overdue",
            health.cases_overdue,
            0,
            f"{health.cases_overdue} open cases are past their deadline; see: sayso cases --status open",
        ),
    ]


def changed(health: Health, found: list[Reading]) -> list[Reading]:
    """Those that are to be raised or ended."""
    return [each for each in found if (each.is_calm if each.kind in health.alarms else each.is_passed)]


def settle_alarm(tx: Transaction, reading: Reading) -> bool | None:
    """Raise or end one alarm, under its lock: True raised, False ended, None when another process already did."""
    name = ALARM_PREFIX + reading.kind
    tx.run(upsert(tx.dialect, ledger_info).on_conflict_do_nothing(), {"name": name, "value": ""})
    row = tx.one(locked(tx.dialect, _INFO), {"name": name})
    assert row is not None  # it was just made, or there before
    if not row.value and reading.is_passed:
        detail = {"value": round(reading.value), "limit": round(reading.limit)}
        alert(tx, reading.kind, occurrence=str(tx.now_ms), reason=reading.text, detail=detail)
        _write(tx, name, str(tx.now_ms))
        return True
    if row.value and reading.is_calm:
        audit.record(tx, "alarm-ended", channel="alarms", kind=reading.kind, raised_at_ms=int(row.value))
        _write(tx, name, "")
        return False
    return None


def _write(tx: Transaction, name: str, value: Any) -> None:
    tx.run(_UPDATE, {"this_name": name, "value": value})


_INFO = select(ledger_info).where(ledger_info.c.name == bindparam("name"))
_UPDATE = update(ledger_info).where(ledger_info.c.name == bindparam("this_name"))
