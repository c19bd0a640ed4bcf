"""A meeting: two acts on one ledger, what must hold in whatever order their statements come, and what decides it.

`holds` plays every order, with either side first. `breaks` takes the deciding lock or constraint away and demands that one after the
other still works while some order in between does not: so each of these tests has been seen to fail.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ledger_world import WORKFLOW, World
from sqlalchemy import text
from two_connections import Acts, Outcome, TwoConnections

from sayso.ledger import Ledger
from sayso.ledger.schema import case_keys, metadata, outbox

NEVER = 10_000
"""A point that no side comes to."""

UNIQUE_VIOLATION = "23505"
Roles = Callable[[tuple[Acts, Acts]], tuple[Acts, Acts]]


@dataclass(frozen=True)
class Meeting:
    """`prepare` puts the ledger to the beginning and says what the two sides do; `check` looks at what has become of it."""

    prepare: Callable[[World], tuple[Acts, Acts]]
    check: Callable[[World, Outcome], None]
    may_collide: bool = False
    """Whether a unique constraint decides: the loser tries again."""
    alike: bool = False
    """Both sides do the same: it does not matter which is the first."""


@dataclass(frozen=True)
class Broken:
    """A ledger without what decides a meeting: statements that are sent otherwise (pattern, replacement), constraints dropped."""

    changes: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    also_alone: bool = False
    """It goes wrong even one after the other."""

    def rewrite(self, statement: str) -> str:
        for pattern, replacement in self.changes:
            statement = re.sub(pattern, replacement, statement, flags=re.DOTALL)
        return statement


_NO_CASE_LOCK = (
    r"INSERT INTO case_keys \(.*RETURNING case_keys.generations",
    "SELECT generations FROM case_keys WHERE workflow = %(workflow)s AND key = %(key)s",
)
_NO_EVENT_LOCK = (r"(FROM events\s.*)FOR UPDATE", r"\1")
WITHOUT_CASE_LOCK = Broken((_NO_CASE_LOCK,))
WITHOUT_CASE_AND_EVENT_LOCK = Broken((_NO_CASE_LOCK, _NO_EVENT_LOCK))
WITHOUT_LEASE_LOCK = Broken(((r"FOR UPDATE SKIP LOCKED", ""),))
WITHOUT_SIGHTINGS = Broken(
    ((r"(INSERT INTO events .*?)ON CONFLICT .*?(RETURNING.*|$)", r"\1\2"),),
    drop=("ALTER TABLE events DROP CONSTRAINT uq_events_topic_digest",),
    also_alone=True,
)
WITHOUT_IDENTITY = Broken(drop=("ALTER TABLE events DROP CONSTRAINT uq_events_identity",))
WITHOUT_CASE_LOCK_AND_STEP_KEY = Broken((_NO_CASE_LOCK,), drop=("ALTER TABLE steps DROP CONSTRAINT pk_steps",))


class Table:
    """Where two sides meet: a world, its two connections, and the ways to try all orders."""

    def __init__(self, world: World, connections: TwoConnections) -> None:
        self.world = world
        self.connections = connections

    def holds(self, meeting: Meeting) -> int:
        """In every order; returns how many there were."""
        orders = 0
        for outcome in self._every_order(meeting):
            orders += 1
            self._judge(meeting, outcome)
        assert orders > 2, "they never met"
        return orders

    def breaks(self, meeting: Meeting, broken: Broken) -> str:
        """Without the lock some order goes wrong; returns what went wrong, for a reader."""
        for constraint in broken.drop:
            self.world.ledger.transact(lambda tx, ddl=constraint: tx.run(text(ddl)))
        changed: set[str] = set()

        def rewrite(statement: str) -> str:
            other = broken.rewrite(statement)
            changed.update({statement} - {other})
            return other

        self.connections.rewrite(rewrite)
        for acts_of in self._roles(meeting):
            outcome = self.connections.play(*acts_of(meeting.prepare(self.world)), NEVER, None)
            if not broken.also_alone:
                self._judge(meeting, outcome)
        assert changed or not broken.changes, f"{broken.changes} match no statement any more"
        for outcome in self._every_order(meeting):
            try:
                self._judge(meeting, outcome)
            except AssertionError as error:
                return str(error)
        raise AssertionError("every order is right without it: it decides nothing, or the test sees nothing")

    def _every_order(self, meeting: Meeting) -> Iterator[Outcome]:
        for acts_of in self._roles(meeting):
            yield from self.connections.every_order(partial(self._prepared, meeting, acts_of))

    @staticmethod
    def _roles(meeting: Meeting) -> tuple[Roles, ...]:
        return (_as_they_are,) if meeting.alike else (_as_they_are, _the_other_first)

    def _prepared(self, meeting: Meeting, acts_of: Roles) -> tuple[Acts, Acts]:
        return acts_of(meeting.prepare(self.world))

    def _judge(self, meeting: Meeting, outcome: Outcome) -> None:
        allowed = {UNIQUE_VIOLATION} if meeting.may_collide else set()
        assert set(outcome.conflicts) <= allowed, f"the database had to step in: {outcome}"
        failed = [answer for answer in outcome.answers if isinstance(answer, BaseException)]
        assert not failed, str(outcome)
        try:
            meeting.check(self.world, outcome)
        except AssertionError as error:
            raise AssertionError(f"{error}\nin this order: {outcome}") from error


def _as_they_are(acts: tuple[Acts, Acts]) -> tuple[Acts, Acts]:
    return acts


def _the_other_first(acts: tuple[Acts, Acts]) -> tuple[Acts, Acts]:
    return acts[1], acts[0]


# What the meetings are made of.


def begin_anew(world: World) -> None:
    """Empty tables, and the row of the key, which is there for good once an event has named it."""

    def empty(tx: Any) -> None:
        for table in reversed(metadata.sorted_tables):
            if table.name != "ledger_info":
                tx.run(table.delete())
        tx.run(case_keys.insert().values(workflow=WORKFLOW, key="PO-1", generations=0))

    world.ledger.transact(empty)


def on(world: World, ledger: Ledger) -> World:
    """The same world through another connection."""
    other = copy.copy(world)
    other.ledger = ledger
    return other


def through(world: World, act: Callable[[World], Any]) -> Acts:
    """What a side does, said in the words of the world."""
    return lambda ledger: act(on(world, ledger))


def routing(world: World, number: int = -1) -> Acts:
    """Route the event in this row, counted from the end."""
    row = world.events[number]
    return through(world, lambda side: side.route_one(row.seq, row.topic, bytes(row.original)))


def dead_letters(world: World) -> int:
    return sum(row.topic == "deadletters" for row in world.rows(outbox))


def nothing_forgotten(world: World) -> None:
    """An event that waits to be raised has a case that is due."""
    if "delivering" in world.states:
        assert world.case.due_at_ms is not None, "an event waits, and nobody will raise it"
