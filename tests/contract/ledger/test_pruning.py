"""Pruning: what is over goes, what is not stays; whole cases, whatever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from attic import FAR, Attic
from ledger_world import cloudevent
from sqlalchemy import update

from sayso.engine import Engine, InstanceState
from sayso.errors import TransientError
from sayso.ledger import Ledger
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.dead import give_up
from sayso.ledger.pruning import Pruned, count_prunable, ended_cases, prune_cases
from sayso.ledger.schema import (
    audit,
    cases,
    engine_purges,
    events,
    metadata,
    notices,
    outbox,
    steps,
    tasks,
    tombstones,
)
from sayso.ledger.sealing import begin_chain, seal_batch
from sayso.ledger.space import give_back, space_of
from sayso.ledger.states import EventState
from sayso.ledger.verifying import verify
from sayso.prune import Progress, prune

KEY = AuditKey(b"k" * 32)
PROCESS = Path(__file__).with_name("pruning_process.py")


@pytest.fixture
def world(ledger: Ledger) -> Attic:
    return Attic(ledger)


def test_a_closed_case_goes_with_all_that_belongs_to_it(world: Attic) -> None:
    world.finish()
    entries = len(world.rows(audit))
    assert world.prune() == Pruned(cases=1, events=3, published=2, tombstones=3)
    (purge,) = world.rows(engine_purges)
    assert purge.instance_id == f"purchase_order-PO-1-1-{world.rules.ledger_id}"
    assert world.count() == {"ledger_info": 1, "case_keys": 1, "audit": entries + 1, "tombstones": 3, "engine_purges": 1}
    (last,) = world.rows(audit)[-1:]
    assert (last.action, last.actor, json.loads(last.detail)["cases"]) == ("pruned", "alice", 1)
    assert world.prune() == Pruned()


def test_no_table_that_tells_of_a_case_is_forgotten(world: Attic) -> None:
    """A table that another change brings is cleared, or it is decided here that it stays."""
    world.finish()
    (instance_id,) = [row.instance_id for row in world.rows(cases)]
    world.prune()
    kept = {
        table.name
        for table in metadata.sorted_tables
        if "instance_id" in table.c and any(row.instance_id == instance_id for row in world.rows(table))
    }
    assert kept == {"audit", "engine_purges"}


def test_the_audit_chain_verifies_afterwards(world: Attic) -> None:
    world.finish()
    world.ledger.transact(partial(begin_chain, key=KEY, ledger_id=world.rules.ledger_id))
    seal_batch(world.ledger, KEY)
    world.prune()
    seal_batch(world.ledger, KEY)
    verdict = verify(world.ledger, KEY, world.rules.ledger_id, {})
    assert (verdict.findings, verdict.unsealed, verdict.sealed) == ((), 0, len(world.rows(audit)))


def reopen(world: Attic) -> None:
    world.change(cases, phase="running")


def unpublish(world: Attic) -> None:
    world.change(outbox, published_at_ms=None)


def unsend(world: Attic) -> None:
    world.change(notices, sent_at_ms=None)


def unsettle(state: str) -> Callable[[Attic], None]:
    return lambda world: world.change(events, state=state)


def young(world: Attic) -> None:
    world.ledger.transact(lambda tx: tx.run(update(events).where(events.c.seq == 3).values(updated_at_ms=FAR + 1)))


REASONS = [reopen, unpublish, unsend, *map(unsettle, ("received", "held", "delivering", "delivered")), young]


@pytest.mark.parametrize("change", REASONS)
def test_what_is_not_over_stays_whole(world: Attic, change: Callable[[Attic], None]) -> None:
    world.finish()
    change(world)
    before = world.count()
    assert world.ledger.read(partial(count_prunable, before_ms=FAR)).cases == 0
    assert world.prune() == Pruned()
    assert world.count() == before


def test_a_case_that_ended_after_the_moment_stays(world: Attic) -> None:
    world.finish()
    assert world.prune(before_ms=world.case.closed_at_ms) == Pruned()
    assert world.prune(before_ms=world.case.closed_at_ms + 1).cases in (0, 1)  # its last event may be younger than that
    assert world.prune().cases + len(world.rows(tombstones)) >= 3


def test_what_became_open_between_looking_and_pruning_stays(world: Attic) -> None:
    world.finish("PO-1")
    world.finish("PO-2")
    chosen = world.ledger.read(partial(ended_cases, before_ms=FAR, limit=10))
    assert len(chosen) == 2
    world.ledger.transact(lambda tx: tx.run(update(events).where(events.c.event_id == "PO-1-paid").values(state="received")))
    assert world.ledger.transact(partial(prune_cases, chosen=chosen, before_ms=FAR, actor="alice")).cases == 1
    assert [row.key for row in world.rows(cases)] == ["PO-1"]
    assert [row.instance_id for row in world.rows(tasks)] == [row.instance_id for row in world.rows(cases)]


def test_events_without_a_case_go_when_nobody_waits_for_them(world: Attic) -> None:
    states = [state.value for state in EventState]
    for state in states:
        world.receive("purchases", f"message in state {state}".encode())
    for row, state in zip(world.events, states, strict=True):
        values = {"state": state, "identity": f"{row.seq:064x}", "content_digest": f"{row.seq:064x}"}
        world.ledger.transact(
            partial(
                lambda tx, seq, values: tx.run(update(events).where(events.c.seq == seq).values(values)), seq=row.seq, values=values
            )
        )
    assert world.ledger.read(partial(count_prunable, before_ms=FAR)).events == 2
    assert world.prune() == Pruned(events=2, tombstones=2)
    assert {row.state for row in world.events} == set(states) - {"recorded", "dead"}


def test_what_a_person_gave_up_goes_and_is_still_known(world: Attic) -> None:
    unknown = cloudevent("com.acme.unknown.v1", {"order_id": "PO-1"}, "stray")
    world.receive("purchases", unknown)
    assert world.route() == [EventState.UNMATCHED]
    world.deliver_everything()
    assert world.prune() == Pruned(published=1)
    world.ledger.transact(partial(give_up, seq=world.events[0].seq, actor="alice", comment="a test"))
    assert world.prune() == Pruned(events=1, tombstones=1)
    world.receive("purchases", unknown)
    assert world.route() == [None]
    assert world.events == []


class Instances:
    """What the engine says of instances, and what it was told to forget."""

    def __init__(self, status: str = "COMPLETED") -> None:
        self.status: str | None = status
        self.purged: list[str] = []
        self.fails = False

    def state(self, instance_id: str) -> InstanceState | None:
        now = datetime.now(UTC)
        return InstanceState(self.status, now, now, None, None, None) if self.status else None

    def purge(self, instance_id: str) -> None:
        if self.fails:
            raise TransientError("the engine did not answer")
        self.purged.append(instance_id)


def prune_with(world: Attic, engine: Instances) -> Progress:
    *_, last = [Progress(Pruned()), *prune(world.ledger, cast("Engine", engine), FAR, actor="alice")]
    return last


@pytest.mark.parametrize("status", ["RUNNING", "PENDING", "SUSPENDED", "STALLED"])
def test_a_case_whose_instance_has_not_ended_stays(world: Attic, status: str) -> None:
    world.finish()
    engine = Instances(status)
    assert (prune_with(world, engine).kept, engine.purged, len(world.rows(cases))) == (1, [], 1)
    engine.status = "COMPLETED"
    assert (prune_with(world, engine).purged, len(world.rows(cases))) == (1, 0)


def test_the_engine_forgets_an_instance_after_the_ledger_has(world: Attic) -> None:
    world.finish()
    (instance_id,) = [row.instance_id for row in world.rows(cases)]
    engine = Instances()
    engine.fails = True
    with pytest.raises(TransientError):
        prune_with(world, engine)
    assert (world.rows(cases), [row.instance_id for row in world.rows(engine_purges)]) == ([], [instance_id])
    engine.fails = False
    assert list(prune(world.ledger, cast("Engine", engine), FAR, actor="alice")) == []
    assert engine.purged == [instance_id]
    assert world.rows(engine_purges) == []


def test_an_instance_that_runs_on_although_its_case_was_pruned_is_not_purged(world: Attic) -> None:
    world.finish()
    world.prune()
    engine = Instances("RUNNING")
    prune_with(world, engine)
    assert (engine.purged, len(world.rows(engine_purges))) == ([], 1)


def test_many_cases_go_in_batches_and_a_dry_run_counts_them(world: Attic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayso.prune.BATCH", 2)
    for number in range(5):
        world.finish(f"PO-{number}")
    world.buy("PO-open")
    before = world.count()
    counted = world.ledger.read(partial(count_prunable, before_ms=FAR))
    assert (counted.cases, counted.events) == (5, 15)
    assert world.count() == before
    steps_of_progress = [done.pruned.cases for done in prune(world.ledger, None, FAR, actor="alice")]
    assert steps_of_progress == [2, 4, 5]
    assert [row.key for row in world.rows(cases)] == ["PO-open"]
    assert world.rows(steps) == []


@pytest.mark.parametrize("kills", [0, 1])
def test_a_kill_in_the_middle_leaves_each_case_whole_or_gone(world: Attic, kills: int) -> None:
    for number in range(6):
        world.finish(f"PO-{number}")
    process = subprocess.Popen([sys.executable, str(PROCESS), world.ledger.url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(kills + 1):
        process.stdout.readline()
    process.kill()
    process.communicate()
    left = {row.instance_id for row in world.rows(cases)}
    gone = {row.instance_id for row in world.rows(engine_purges)}
    assert len(left) + len(gone) == 6
    assert not left & gone
    assert {row.instance_id for row in world.events} == left
    assert len(world.rows(tombstones)) == 3 * len(gone)
    world.prune()
    assert (len(world.rows(cases)), len(world.rows(tombstones)), len(world.rows(engine_purges))) == (0, 18, 6)


def test_room_is_used_again_and_given_back_when_asked(world: Attic) -> None:
    for number in range(30):
        world.finish(f"PO-{number}")
    before = space_of(world.ledger)
    world.prune()
    give_back(world.ledger)
    after = space_of(world.ledger)
    assert after.total_bytes < before.total_bytes
    if world.ledger.dialect == "sqlite":
        assert after.free_bytes == 0
        path = Path(world.ledger.url.removeprefix("sqlite:///"))
        assert path.stat().st_size == after.total_bytes
    world.finish("PO-after")
    assert world.prune().cases == 1
