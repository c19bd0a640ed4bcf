"""Tombstones: what is left of what was pruned, so that it is known when it comes again.

In: events that leave the ledger, or an identity and a key that come back. Out: for an event its identity and the digest of its
content; for a case its row of `case_keys`, from which even its instance id can be made again. A pruned event is still repeated or
contradicted, a pruned key has still had its case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from sayso.contracts.workflow_io import CaseRef
from sayso.ledger.database import Transaction
from sayso.ledger.identifiers import instance_id
from sayso.ledger.schema import case_keys, ledger_info, tombstones
from sayso.ledger.statements import upsert

PRUNED_CONTRADICTED = "an event that was pruned has the same source and id, but said something else"


@dataclass(frozen=True)
class PrunedCase:
    """What is still known of a pruned case. It reads like the row of one that has ended."""

    instance_id: str
    generation: int
    phase: str = "closed"
    outcome: str = "pruned"
    opened_by: int | None = None


def bury(tx: Transaction, events: Iterable[Row[Any]]) -> int:
    """Leave a tombstone for each event that has claimed an identity; returns how many."""
    left = [
        {
            "identity": bytes.fromhex(event.identity),
            "content_digest": bytes.fromhex(event.content_digest or ""),  # nobody knows it of an event that was adopted
            "pruned_at_ms": tx.now_ms,
            "sightings": event.sightings,
        }
        for event in events
        if event.identity is not None
    ]
    if left:
        tx.run(_insert(tx.dialect), left)
    return len(left)


def tombstone_of(tx: Transaction, identity: str) -> str | None:
    """The content digest of the pruned event with this identity; None when there was none."""
    found = tx.one(_TOMBSTONE, {"identity": bytes.fromhex(identity)})
    return bytes(found.content_digest).hex() if found is not None else None


def count_sightings(tx: Transaction, identity: str, sightings: int) -> None:
    """The pruned event was seen so many times more."""
    tx.run(_COUNT, {"this_identity": bytes.fromhex(identity), "more": sightings})


def pruned_case(tx: Transaction, workflow: str, key: str, generation: int) -> PrunedCase:
    """The case of that generation, which `case_keys` knows and `cases` no longer holds."""
    ledger_id = tx.one(_LEDGER_ID)
    assert ledger_id is not None
    return PrunedCase(instance_id(workflow, key, generation, ledger_id.value), generation)


def was_pruned(tx: Transaction, case: CaseRef) -> bool:
    """Whether a case that `cases` does not hold has been there, and was this ledger's own."""
    known = tx.one(_GENERATIONS, {"workflow": case.workflow, "key": case.key})
    if known is None or known.generations < case.generation:
        return False
    return pruned_case(tx, case.workflow, case.key, case.generation).instance_id == case.instance_id


_TOMBSTONE = select(tombstones.c.content_digest).where(tombstones.c.identity == bindparam("identity"))
_COUNT = (
    update(tombstones)
    .where(tombstones.c.identity == bindparam("this_identity"))
    .values(sightings=tombstones.c.sightings + bindparam("more"))
)
_GENERATIONS = select(case_keys.c.generations).where(
    case_keys.c.workflow == bindparam("workflow"), case_keys.c.key == bindparam("key")
)
_LEDGER_ID = select(ledger_info.c.value).where(ledger_info.c.name == "ledger_id")


@cache
def _insert(dialect: str) -> Any:
    return upsert(dialect, tombstones).on_conflict_do_nothing()
