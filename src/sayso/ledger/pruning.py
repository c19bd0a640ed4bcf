"""Pruning: what is long over leaves the ledger, one transaction a batch.

In: the moment before which everything was over, batches of cases whose instances have ended. Out: tombstones (`tombstones.py`) in the
place of cases, events, tasks, steps, outbox and notices; instances that the engine may forget. Audit entries stay. A batch goes as a
whole or not at all, under the locks of its cases, so a crash or a running stack beside it does no harm.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, delete, exists, func, insert, or_, select

from sayso.contracts.engine_ids import engine_id, engine_ids
from sayso.ledger import audit
from sayso.ledger.cases import lock_case_key
from sayso.ledger.database import Transaction
from sayso.ledger.schema import acts, cases, claims, compensations, engine_purges, events, notices, outbox, steps, tasks
from sayso.ledger.statements import locked
from sayso.ledger.states import EventState
from sayso.ledger.tombstones import bury

S = EventState
UNSETTLED = (S.RECEIVED, S.HELD, S.DELIVERING, S.DELIVERED)
WITHOUT_CASE = (S.RECORDED, S.DEAD)
"""Over although no case has used them. The other failed ones wait for a person: sayso dead give-up."""
CLEARED = (acts, tasks, compensations, steps, claims, notices, outbox, cases, events)
"""In the order in which they can go: `cases` refers to `events`, `acts`, `tasks` and `compensations` to `cases`."""


@dataclass(frozen=True)
class Ended:
    """A case that is long over, as far as the ledger knows."""

    instance_id: str
    workflow: str
    key: str
    opened_at_ms: int
    events: int
    run: int = 1

    @property
    def engine_id(self) -> str:
        """Its instance in the engine."""
        return engine_id(self.instance_id, self.run)


@dataclass(frozen=True)
class Pruned:
    """What a batch took away."""

    cases: int = 0
    events: int = 0
    published: int = 0
    tombstones: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(
            self.cases + other.cases,
            self.events + other.events,
            self.published + other.published,
            self.tombstones + other.tombstones,
        )


def ended_cases(tx: Transaction, before_ms: int, limit: int, after: Ended | None = None) -> list[Ended]:
    """Cases that were over before that moment, with all that belongs to them, the oldest first."""
    query = _ended(before_ms).order_by(cases.c.opened_at_ms, cases.c.instance_id).limit(limit)
    if after is not None:
        later = and_(cases.c.opened_at_ms == after.opened_at_ms, cases.c.instance_id > after.instance_id)
        query = query.where(or_(cases.c.opened_at_ms > after.opened_at_ms, later))
    return [Ended(row.instance_id, row.workflow, row.key, row.opened_at_ms, row.events, row.run) for row in tx.all(query)]


def prune_cases(tx: Transaction, chosen: Sequence[Ended], before_ms: int, *, actor: str) -> Pruned:
    """Take these cases away, as far as they are still over: somebody may have replayed an event meanwhile."""
    for workflow, key in sorted({(case.workflow, case.key) for case in chosen}):
        lock_case_key(tx, workflow, key)
    over = _ended(before_ms).where(cases.c.instance_id.in_([case.instance_id for case in chosen]))
    found = tx.all(over)
    ids = [row.instance_id for row in found]
    if not ids:
        return Pruned()
    instances = [instance for row in found for instance in engine_ids(row.instance_id, row.run)]
    left = bury(tx, tx.all(_events(tx).where(events.c.instance_id.in_(ids))))
    tx.run(insert(engine_purges), [{"instance_id": one, "pruned_at_ms": tx.now_ms} for one in instances])
    gone = {table.name: tx.run(delete(table).where(table.c.instance_id.in_(ids))).rowcount for table in CLEARED}
    pruned = Pruned(gone["cases"], gone["events"], gone["outbox"], left)
    _record(tx, pruned, before_ms, actor)
    return pruned


def prune_events(tx: Transaction, before_ms: int, limit: int, *, actor: str) -> Pruned:
    """Take away events that have no case (any more) and published rows of none; nothing left when the answer is empty."""
    rows = tx.all(_events(tx).where(_homeless_events(before_ms)).order_by(events.c.seq).limit(limit))
    left = bury(tx, rows)
    if rows:
        tx.run(delete(events).where(events.c.seq.in_([row.seq for row in rows])))
    sent = [row.seq for row in tx.all(select(outbox.c.seq).where(_homeless_publications(before_ms)).limit(limit))]
    if sent:
        tx.run(delete(outbox).where(outbox.c.seq.in_(sent)))
    pruned = Pruned(0, len(rows), len(sent), left)
    if pruned != Pruned():
        _record(tx, pruned, before_ms, actor)
    return pruned


def count_prunable(tx: Transaction, before_ms: int) -> Pruned:
    """What would go if every instance had ended. Reads only."""
    over = _ended(before_ms).subquery()
    (of_cases,) = tx.all(
        select(func.count().label("cases"), func.coalesce(func.sum(over.c.events), 0).label("events")).select_from(over)
    )
    (homeless,) = tx.all(select(func.count().label("rows")).select_from(events).where(_homeless_events(before_ms)))
    in_outbox = select(func.count().label("rows")).select_from(outbox)
    (published,) = tx.all(
        in_outbox.where(or_(outbox.c.instance_id.in_(select(over.c.instance_id)), _homeless_publications(before_ms)))
    )
    return Pruned(of_cases.cases, int(of_cases.events) + homeless.rows, published.rows, 0)


def instances_to_purge(tx: Transaction, limit: int, after: str = "") -> list[str]:
    """Instances of pruned cases that the engine still keeps, as far as is known, in order of their ids."""
    known = select(engine_purges.c.instance_id).where(engine_purges.c.instance_id > after)
    return [row.instance_id for row in tx.all(known.order_by(engine_purges.c.instance_id).limit(limit))]


def instances_purged(tx: Transaction, instance_ids: Collection[str]) -> None:
    """The engine has forgotten them."""
    tx.run(delete(engine_purges).where(engine_purges.c.instance_id.in_(list(instance_ids))))


def _ended(before_ms: int) -> Select[Any]:
    mine = events.c.instance_id == cases.c.instance_id
    unsettled = or_(events.c.state.in_([state.value for state in UNSETTLED]), events.c.updated_at_ms >= before_ms)
    unpublished = and_(outbox.c.instance_id == cases.c.instance_id, outbox.c.published_at_ms.is_(None))
    unsent = and_(notices.c.instance_id == cases.c.instance_id, notices.c.sent_at_ms.is_(None))
    to_be_settled = and_(compensations.c.instance_id == cases.c.instance_id, compensations.c.settled_at_ms.is_(None))
    count = select(func.count()).select_from(events).where(mine).correlate(cases).scalar_subquery()
    return select(cases.c.instance_id, cases.c.workflow, cases.c.key, cases.c.opened_at_ms, cases.c.run, count.label("events")).where(
        cases.c.opened_at_ms < before_ms,
        cases.c.phase == "closed",
        cases.c.closed_at_ms < before_ms,
        ~exists().where(mine, unsettled),
        ~exists().where(unpublished),
        ~exists().where(unsent),
        ~exists().where(to_be_settled),
    )


def _events(tx: Transaction) -> Select[Any]:
    columns = (events.c.seq, events.c.identity, events.c.content_digest, events.c.sightings)
    query: Select[Any] = locked(tx.dialect, select(*columns))
    return query


def _homeless_events(before_ms: int) -> Any:
    """Without a case and over; or late for one that was pruned."""
    orphan = ~exists().where(cases.c.instance_id == events.c.instance_id)
    over = and_(events.c.instance_id.is_(None), events.c.state.in_([state.value for state in WITHOUT_CASE]))
    after_its_case = and_(events.c.instance_id.isnot(None), orphan, events.c.state.notin_([state.value for state in UNSETTLED]))
    return and_(events.c.updated_at_ms < before_ms, or_(over, after_its_case))


def _homeless_publications(before_ms: int) -> Any:
    orphan = ~exists().where(cases.c.instance_id == outbox.c.instance_id)
    return and_(outbox.c.published_at_ms < before_ms, or_(outbox.c.instance_id.is_(None), orphan))


def _record(tx: Transaction, pruned: Pruned, before_ms: int, actor: str) -> None:
    audit.record(tx, "pruned", actor=actor, channel="cli", cases=pruned.cases, events=pruned.events, before_ms=before_ms)
