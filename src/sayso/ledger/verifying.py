"""Verifying the audit chain: whether anything was edited, deleted, inserted, reordered, or cut off.

In: a ledger, the chain's key, anchors that were kept elsewhere. Out: findings, none when all is well. Limits: what was never sealed
is not covered, and an end that was cut off with the chain's row shows only back to the last anchor. What was erased of persons is no
finding where an entry of the chain says so (`erasing.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select

from sayso.ledger.audit import PERSON_ERASED
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.commitments import broken, erased_fields
from sayso.ledger.database import Ledger, Transaction
from sayso.ledger.outbox import moment
from sayso.ledger.schema import audit, outbox
from sayso.ledger.sealing import COVERED, chain_head, first_seal, seal_of

FETCH_ROWS = 1_000
ANCHOR = re.compile(r'ledger"?[=:]\s*"?(\w+)"?.*?number"?[=:]\s*"?(\d+).*?seal"?[=:]\s*"?([0-9a-f]{64})')
"""An anchor in a log line, in either format, or in an event."""


@dataclass(frozen=True)
class Finding:
    """What is wrong at which number of the chain."""

    number: int | None
    what: str


@dataclass(frozen=True)
class Verdict:
    """What verifying found. `unsealed` entries wait for the sealer, the oldest since `unsealed_since`."""

    sealed: int
    unsealed: int
    unsealed_since: datetime | None
    anchors: int
    findings: tuple[Finding, ...]


def anchors_in(texts: Iterable[str], ledger_id: str) -> dict[int, str]:
    """Number → seal of every anchor of this ledger in these lines."""
    found = (ANCHOR.search(text) for text in texts)
    return {int(match[2]): match[3] for match in found if match is not None and match[1] == ledger_id}


def lines_of(paths: Iterable[Path]) -> Iterator[str]:
    """All lines of the files that are there."""
    for path in paths:
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                yield from file


def verify(ledger: Ledger, key: AuditKey, ledger_id: str, anchors: Mapping[int, str]) -> Verdict:
    """Walk the whole chain on one snapshot. `anchors` are those kept elsewhere; the ledger's own copies are compared too."""
    return ledger.read(lambda tx: verify_in(tx, key, ledger_id, anchors))


def was_sealed(tx: Transaction) -> bool:
    """Whether a chain was begun; an entry with a number says so too, should the chain's row be gone."""
    return chain_head(tx) is not None or tx.one(select(audit.c.seq).where(audit.c.number.isnot(None)).limit(1)) is not None


def verify_in(tx: Transaction, key: AuditKey, ledger_id: str, anchors: Mapping[int, str]) -> Verdict:
    """The same within a transaction."""
    head = chain_head(tx)
    waiting = tx.all(select(func.count().label("entries"), func.min(audit.c.at_ms).label("since")).where(audit.c.number.is_(None)))[0]
    unsealed, since = int(waiting.entries), _moment(waiting.since)
    known = _anchors_of_outbox(tx, ledger_id) | dict(anchors)
    if head is not None and head.key_mark != key.mark:
        return Verdict(0, unsealed, since, len(known), (Finding(None, "this is not the key that the chain was sealed with"),))
    walk = _Walk(dict(known), first_seal(key, ledger_id), key, _said_to_be_erased(tx))
    query = (
        select(*(audit.c[name] for name in (*COVERED, "number", "seal"))).where(audit.c.number.isnot(None)).order_by(audit.c.number)
    )
    rows = tx.connection.execute(query.execution_options(yield_per=FETCH_ROWS))
    findings = list(chain(chain.from_iterable(map(walk.step, rows)), walk.end(head)))
    return Verdict(walk.sealed, unsealed, since, len(known), tuple(findings))


class _Walk:
    """The place in the chain while its entries go by in order of their numbers."""

    def __init__(self, anchors: dict[int, str], first: str, key: AuditKey, erased: set[int]) -> None:
        self.sealed = 0
        self._erased = erased
        self._anchors = anchors
        self._key = key
        self._number = 0
        self._seal: str | None = first

    def step(self, row: Row[Any]) -> Iterator[Finding]:
        self.sealed += 1
        number, entry = row.number, f"entry {row.number} (row {row.seq}, {row.action})"
        if not isinstance(number, int) or number <= self._number:
            yield Finding(None, f"{entry} has a number that the sealer never gave")
            return
        if number > self._number + 1:
            yield self._missing(self._number + 1, number - 1)
            self._seal = None  # what the seal before it was went with the missing ones
        if self._seal is not None and not _is_sealed(self._key, number, self._seal, row):
            yield Finding(number, f"{entry} is not what was sealed there: it was changed, moved or inserted")
        elif not _is_whole(row):
            yield Finding(number, f"{entry} is not what was committed to there: it was changed, moved or inserted")
        elif row.seq not in self._erased and erased_fields(row._asdict()):
            yield Finding(number, f"{entry} was erased in part, and no erasure says so: it was changed")
        anchored = self._anchors.pop(number, row.seal)
        if anchored != row.seal:
            yield Finding(number, f"{entry} has another seal than the anchor of number {number}")
        self._number, self._seal = number, str(row.seal)

    def end(self, head: Row[Any] | None) -> Iterator[Finding]:
        """Nothing may be missing before the last anchor, or before the place that the chain's row names."""
        last = max([*self._anchors, head.number if head is not None else 0])
        if last > self._number:
            yield self._missing(self._number + 1, last)
        elif head is None and self._number > 0:
            yield Finding(None, "the row that says where the chain ends is missing")
        elif head is not None and (head.number, head.seal) != (self._number, self._seal or head.seal):
            yield Finding(head.number, f"the chain's row ends at {head.number}, the entries at {self._number}, or with another seal")

    @staticmethod
    def _missing(first: int, last: int) -> Finding:
        which = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        return Finding(first, f"{which} missing: deleted, moved or cut off")


def _is_sealed(key: AuditKey, number: int, previous: str, row: Row[Any]) -> bool:
    try:
        return seal_of(key, number, previous, row) == str(row.seal)
    except (TypeError, ValueError, AttributeError):
        return False  # a value that the ledger never writes


def _is_whole(row: Row[Any]) -> bool:
    try:
        return not any(broken(row._asdict()))
    except (TypeError, ValueError, AttributeError):
        return False


def _said_to_be_erased(tx: Transaction) -> set[int]:
    """Rows of which the chain says that a person was erased from them."""
    rows = tx.all(select(audit.c.detail).where(audit.c.action == PERSON_ERASED))
    return {seq for row in rows for first, last in json.loads(row.detail).get("entries", ()) for seq in range(first, last + 1)}


def _anchors_of_outbox(tx: Transaction, ledger_id: str) -> dict[int, str]:
    rows = tx.connection.execute(select(outbox.c.body).where(outbox.c.topic == "audit-anchors"))
    return anchors_in((bytes(row.body).decode(errors="replace") for row in rows), ledger_id)


def _moment(at_ms: int | None) -> datetime | None:
    return moment(at_ms) if at_ms is not None else None
