"""Alerts: what an operator must see, as an event on `alerts`, written in the transaction that notices it.

In: a kind (kebab-case), a sentence, and a word that names this occurrence. Out: one row of the outbox; the same occurrence again
is no second alert. The kinds are the table `ALERTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row

from sayso.ledger.database import Transaction
from sayso.ledger.outbox import moment, publish

ALERTS: Mapping[str, str] = MappingProxyType(
    {
        "case-stalled": "the engine has stalled a case: its history is too large, or a worker of its version is missing",
        "case-suspended": "somebody has suspended a case in the engine",
        "case-stuck": "the engine had lost the answer of an activity: the case is started again",
        "case-failed": "a workflow ended in the engine without closing its case: it is closed as failed",
        "case-restarted": "the engine had lost a case: it was started again, and its events raised again",
        "audit-key-unusable": "the audit chain is not continued: its key is missing, or not the one that it was sealed with",
        "too-many-held": "a source has so many early events waiting that more of them expire at once; at most once an hour a source",
        "case-over-limit": "a case was sent so many events of one name that more are refused; once a case and name",
        "message-too-large": "a message above 4 MiB was refused at the door; its sender wrote to the broker itself",
        "repeated-event": "an event came once more whose binding says `on_duplicate: alarm`; once for each event",
        "dead-letters-many": "more events went dead within the last hour than `SAYSO_ALARMS__DEAD_LETTERS_AN_HOUR`",
        "dispatcher-behind": "an event or case waits to be dispatched for longer than `SAYSO_ALARMS__UNDISPATCHED`",
        "outbox-behind": "an event waits to be published for longer than `SAYSO_ALARMS__OUTBOX`",
        "intake-stopped": "messages could not be committed and stayed with the broker; told when it is over",
        "ledger-disk-low": "less space is free where the ledger is than `SAYSO_ALARMS__DISK_FREE_MIB`",
        "stream-trimmed": "entries that nobody had acknowledged were taken off a Redis stream: events may be lost",
        "approval-stranded": "nobody, or too few, can decide on a stage of an approval; once a case and stage",
        "cases-overdue": "an open case is past its deadline by more than `SAYSO_ALARMS__CASE_OVERDUE`",
    }
)
"""Kind → when it is raised. Documented in docs/operations.md."""


def alert(
    tx: Transaction,
    kind: str,
    *,
    occurrence: str,
    reason: str,
    instance_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Raise the alert `kind` for this `occurrence`, once."""
    assert kind in ALERTS, f"{kind} is no known alert"
    publish(
        tx,
        event_id=f"alert:{kind}:{occurrence}"[:200],
        topic="alerts",
        event_type="sayso.alert.raised.v1",
        key=instance_id or kind,
        instance_id=instance_id,
        data={
            "kind": kind,
            "reason": reason,
            "case": instance_id,
            "raised_at": moment(tx.now_ms).isoformat(),
            "detail": dict(detail or {}),
        },
    )


DUPLICATE_COLUMNS = ("seq", "received_at_ms", "sightings", "on_duplicate", "topic", "type", "source", "event_id", "instance_id")
"""Of `events`: what the alert of a repetition says."""


def alert_of_duplicate(tx: Transaction, row: Row[Any]) -> None:
    """Somebody repeats an event that its binding does not expect twice: the sender, or the broker after a crash."""
    alert(
        tx,
        "repeated-event",
        occurrence=f"{row.seq}-{row.received_at_ms}",
        reason=f"event {row.seq} on {row.topic} came once more; it is used once",
        instance_id=row.instance_id,
        detail={"type": row.type, "source": row.source, "id": row.event_id},
    )
