"""Transactions in sight: others can tell that one is under way, from before its clock is read until its commit is seen.

Only PostgreSQL needs it, where a message may have got its time and not be seen by anybody yet; SQLite writes one transaction after the
other. The mark is an advisory lock, which is free with the transaction, whatever ends it. Nobody ever waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sayso.ledger.database import Transaction

MARK = 0x53415953
"""First number of the lock; the second is the second in which its transaction began."""
EPOCH = 1_700_000_000
"""Seconds are counted from here: PostgreSQL's lock numbers have 32 bits."""

NOW = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms")
NOW_IN_SIGHT = text(
    "SELECT pg_advisory_xact_lock_shared(:mark, CAST(FLOOR(EXTRACT(EPOCH FROM statement_timestamp())) - :epoch AS INTEGER)),"
    " CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms"
).bindparams(mark=MARK, epoch=EPOCH)
"""The lock comes first: so its second is none after the time that is read."""

_UNDER_WAY = text(
    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND CAST(classid AS BIGINT) = :mark"
    " AND CAST(objid AS BIGINT) <= :until AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
)


def under_way_since(tx: Transaction, until_ms: int) -> bool:
    """Whether a transaction in sight that began by then has not ended. What has ended is seen by the statements that follow."""
    if tx.dialect != "postgresql":
        return False
    return tx.one(_UNDER_WAY, {"mark": MARK, "until": until_ms // 1_000 - EPOCH}) is not None
