"""Pruning: what is over goes, what is not stays, and what has gone is still known when it comes again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from ledger_world import DECISION, PAYMENT, PROJECT, PURCHASE, World, cloudevent, purchase
from sqlalchemy import text, update

from sayso.correlation.bindings import load_bindings
from sayso.correlation.correlate import correlate
from sayso.engine import Engine, InstanceState
from sayso.errors import TransientError
from sayso.ledger import Ledger, Transaction
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.dead import give_up
from sayso.ledger.pruning import Pruned, count_prunable, ended_cases, prune_cases
from sayso.ledger.queries.outlook import outlook
from sayso.ledger.schema import (
    audit,
    case_keys,
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

FAR = 4_102_444_800_000  # in the year 2100
KEY = AuditKey(b"k" * 32)
PROCESS = Path(__file__).with_name("pruning_process.py")


class Attic(World):
    """A world in which things get old."""

    def deliver_everything(self) -> None:
        """Outbox and notices are done."""
        self.change(outbox, published_at_ms=outbox.c.created_at_ms, due_at_ms=None)
        self.change(notices, sent_at_ms=notices.c.created_at_ms, due_at_ms=None)

    def finish(self, key: str = "PO-1") -> dict[str, bytes]:
        """A purchase from its request to its end; returns its events' bytes by topic."""
        sent = {
            "purchases": cloudevent(PURCHASE, purchase(key), f"{key}-asked"),
            "approvals": cloudevent(DECISION, {"order_id": key, "approved": True, "approver": "bob"}, f"{key}-decided"),
            "payments": cloudevent(PAYMENT, {"order_id": key, "amount": 1200, "currency": "EUR"}, f"{key}-paid"),
        }
        for topic, body in sent.items():
            self.receive(topic, body)
            self.route()
        self.drive()
        row = next(row for row in self.rows(cases) if row.key == key)
        mine = [event.seq for event in self.events if event.instance_id == row.instance_id and event.state == "delivered"]
        ref = json.loads(row.input)["case"]
        decision = {"decision": "approve", "decided_by": "bob"}
        self.step("place_order", ref=ref, used=mine[:1], decision=decision)
        self.close(ref=ref, used=mine[1:])
        self.deliver_everything()
        return sent

    def prune(self, before_ms: int = FAR) -> Pruned:
        pruned = Pruned()
        for done in prune(self.ledger, None, before_ms, actor="alice"):
            pruned = done.pruned
        return pruned

    def count(self) -> dict[str, int]:
        return {table.name: len(self.rows(table)) for table in metadata.sorted_tables if self.rows(table)}


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


@pytest.mark.parametrize("topic", ["purchases", "approvals", "payments"])
@pytest.mark.parametrize("other_bytes", [False, True])
def test_a_pruned_event_that_comes_again_is_a_repetition(world: Attic, topic: str, other_bytes: bool) -> None:
    """Case 25."""
    sent = world.finish()
    world.prune()
    body = sent[topic] + b" " if other_bytes else sent[topic]
    for _ in range(3):
        world.receive(topic, body)
    assert world.route() == [None]
    assert world.events == []
    assert sorted(row.sightings for row in world.rows(tombstones)) == [1, 1, 4]
    assert world.rows(cases) == []


@pytest.mark.parametrize("key", ["PO-1", "PO-2"])
def test_a_pruned_identity_with_other_content_is_a_conflict(world: Attic, key: str) -> None:
    world.finish()
    world.prune()
    assert world.buy(key, event_id="PO-1-asked", cost=1) == EventState.CONFLICT
    (row,) = world.events
    assert "pruned" in row.reason
    assert [topic for topic, _ in world.published] == ["deadletters"]
    assert world.rows(cases) == []


def test_a_pruned_key_is_not_started_again(world: Attic) -> None:
    """Case 25, 26."""
    world.finish()
    world.prune()
    assert world.buy() == EventState.REFUSED
    (row,) = world.events
    assert row.reason == f"the case for key 'PO-1' has ended (pruned): purchase_order-PO-1-1-{world.rules.ledger_id}"
    assert world.rows(cases) == []
    assert [row.generations for row in world.rows(case_keys)] == [1]
    assert world.buy("PO-2") == EventState.STARTED


def test_an_event_for_a_pruned_case_is_late_and_never_swallowed(world: Attic) -> None:
    """Case 25."""
    world.finish()
    world.prune()
    assert world.pay() == EventState.LATE
    assert world.decide() == EventState.LATE
    assert {row.instance_id for row in world.events} == {f"purchase_order-PO-1-1-{world.rules.ledger_id}"}
    assert [topic for topic, _ in world.published].count("deadletters") == 2


def test_a_captured_payment_for_a_pruned_case_asks_for_its_refund_once(world: Attic) -> None:
    world.finish()
    world.prune()
    body = cloudevent(PAYMENT, {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}, "second")
    for _ in range(2):
        world.receive("payments", body)
        world.route()
    world.deliver_everything()
    assert [topic for topic, _ in world.published] == ["payment-commands", "deadletters"]
    assert world.prune().events == 1
    world.receive("payments", body)
    assert world.route() == [None]
    assert world.published == []


def changed_world(ledger: Ledger, folder: Path, line: str, added: str) -> Attic:
    text = (PROJECT / "config" / "bindings.yaml").read_text(encoding="utf-8")
    assert line in text
    (folder / "bindings.yaml").write_text(text.replace(line, f"{line}\n    {added}"), encoding="utf-8")
    return Attic(ledger, load_bindings(folder / "bindings.yaml"))


def test_a_pruned_key_is_started_again_where_its_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    world = changed_world(ledger, tmp_path, "start: purchase_order_workflow", "on_restart: new_generation")
    sent = world.finish()
    world.prune()
    world.receive("purchases", sent["purchases"])
    assert world.route() == [None]
    assert world.buy() == EventState.STARTED
    assert (world.case.generation, world.case.phase) == (2, "starting")
    assert world.decide() == EventState.DELIVERING


def test_a_repetition_of_a_pruned_event_is_alarming_where_its_binding_says_so(ledger: Ledger, tmp_path: Path) -> None:
    world = changed_world(ledger, tmp_path, "resume: purchase_order_workflow.payment_received", "on_duplicate: alarm")
    sent = world.finish()
    world.prune()
    for _ in range(2):
        world.receive("payments", sent["payments"])
        assert world.route() == [None]
    assert [data["kind"] for topic, data in world.published if topic == "alerts"] == ["repeated-event"]


def test_what_came_late_for_a_pruned_case_goes_when_it_is_old_too(world: Attic) -> None:
    world.finish()
    world.prune()
    world.pay()
    world.deliver_everything()
    assert world.prune(before_ms=world.events[0].updated_at_ms) == Pruned()
    gone = world.prune()
    assert (gone.cases, gone.events, gone.tombstones) == (0, 1, 1)
    assert world.rows(outbox) == []


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


def test_a_step_of_a_pruned_case_does_nothing(world: Attic) -> None:
    world.finish()
    ref = world.ref
    world.prune()
    before = world.count()
    assert "skipped" in world.close(ref=ref)
    assert "skipped" in world.step("place_order", ref=ref)
    assert world.count() == before


@pytest.mark.parametrize(
    ("topic", "kind", "key", "event_id", "state"),
    [
        ("purchases", PURCHASE, "PO-1", "PO-1-asked", "sighting"),
        ("purchases", PURCHASE, "PO-2", "PO-1-asked", "conflict"),
        ("purchases", PURCHASE, "PO-1", "new", "refused"),
        ("purchases", PURCHASE, "PO-2", "new", "started"),
        ("approvals", DECISION, "PO-1", "new", "late"),
    ],
)
def test_what_is_foretold_after_a_prune_is_what_happens(
    world: Attic, topic: str, kind: str, key: str, event_id: str, state: str
) -> None:
    world.finish()
    world.prune()
    data = purchase(key) if kind == PURCHASE else {"order_id": key, "approved": True, "approver": "bob"}
    body = cloudevent(kind, data, event_id)
    verdict = correlate(world.bindings, topic, body)
    foretold = world.ledger.read(partial(outlook, topic=topic, original=body, verdict=verdict, settings=world.rules.settings))
    world.receive(topic, body)
    (happened,) = world.route()
    assert foretold.state == state
    assert happened == (None if state == "sighting" else state)
    if happened is not None:
        (row,) = world.events
        assert row.reason == foretold.reason or state == "started"


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


def waits_for_a_lock(ledger: Ledger) -> bool:
    """On PostgreSQL: somebody waits. SQLite keeps the others out from the beginning of a transaction to its end."""
    query = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    with ledger.engine.connect() as connection:
        return ledger.dialect == "sqlite" or connection.execute(query).first() is not None


@pytest.mark.parametrize(("topic", "expected"), [("purchases", None), ("payments", None)])
def test_a_repetition_that_is_routed_while_its_original_is_pruned_is_seen(world: Attic, topic: str, expected: Any) -> None:
    sent = world.finish()
    body = sent[topic] + b" "
    world.receive(topic, body)
    (again,) = [row for row in world.events if row.state == "received"]
    chosen = world.ledger.read(partial(ended_cases, before_ms=FAR, limit=10))
    other = World(Ledger(world.ledger.url))
    answers: list[Any] = []
    routing = threading.Thread(target=lambda: answers.append(other.route_one(again.seq, topic, body)))

    def prune_slowly(tx: Transaction) -> Pruned:
        pruned = prune_cases(tx, chosen, FAR, actor="alice")
        routing.start()
        deadline = time.monotonic() + 60
        while not waits_for_a_lock(world.ledger):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return pruned

    assert world.ledger.transact(prune_slowly).cases == 1
    routing.join(60)
    other.ledger.close()
    assert answers == [expected]
    assert world.events == []
    assert sorted(row.sightings for row in world.rows(tombstones)) == [1, 1, 2]


def test_a_late_payment_that_is_routed_while_its_case_is_pruned_is_late(world: Attic) -> None:
    world.finish()
    body = cloudevent(PAYMENT, {"order_id": "PO-1", "amount": 1200, "currency": "EUR"}, "second")
    world.receive("payments", body)
    (late,) = [row for row in world.events if row.state == "received"]
    chosen = world.ledger.read(partial(ended_cases, before_ms=FAR, limit=10))
    other = World(Ledger(world.ledger.url))
    answers: list[Any] = []
    routing = threading.Thread(target=lambda: answers.append(other.route_one(late.seq, "payments", body)))

    def prune_slowly(tx: Transaction) -> Pruned:
        pruned = prune_cases(tx, chosen, FAR, actor="alice")
        routing.start()
        deadline = time.monotonic() + 60
        while not waits_for_a_lock(world.ledger):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return pruned

    assert world.ledger.transact(prune_slowly).cases == 1
    routing.join(60)
    other.ledger.close()
    assert answers == [EventState.LATE]


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
