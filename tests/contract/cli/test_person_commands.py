"""`sayso person erase`: refused while somebody is needed, done once, and what cannot be reached is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import World
from sqlalchemy import update

from sayso.ledger.schema import audit, cases, notices, outbox, tasks
from sayso.settings import Settings
from sayso_subscribers.seal import Sealer

ERASE = ("person", "erase", "bob", "--as", "olga", "--reason", "asked for it", "--without-engine")


@pytest.fixture
def ended(world: World, place: Path) -> World:
    """A case that bob has decided, over and told."""
    world.buy("PO-1")
    world.decide("PO-1", "bob")
    over(world)
    Sealer(world.ledger, Settings(state_dir=place / "state"), world.rules.ledger_id).work()
    return world


def over(world: World) -> None:
    world.ledger.transact(lambda tx: tx.run(update(cases).values(phase="closed", outcome="approved", closed_at_ms=tx.now_ms)))
    world.ledger.transact(lambda tx: tx.run(update(tasks).values(state="decided", decided_by="bob", comment="his words")))
    world.ledger.transact(lambda tx: tx.connection.exec_driver_sql("UPDATE events SET state = 'late' WHERE state = 'delivering'"))
    world.ledger.transact(lambda tx: tx.run(update(outbox).values(published_at_ms=tx.now_ms, due_at_ms=None)))
    world.ledger.transact(lambda tx: tx.run(update(notices).values(sent_at_ms=tx.now_ms, due_at_ms=None)))


def test_an_erasure_says_what_went_and_what_nobody_here_can_reach(sayso: Sayso, ended: World) -> None:
    answer = sayso(*ERASE)
    assert answer.code == 0
    assert "rows of events" in answer.out
    assert "rows of tasks" in answer.out
    assert "e-mails and chat messages" in answer.err
    assert "bob" not in sayso("case", "PO-1").out
    assert sayso("audit", "verify").code == 0
    again = sayso(*ERASE, "--json").json
    assert (again["erased"]["rows"], again["erased"]["entries"]) == ({}, 0)


def test_an_open_case_is_in_the_way_and_nothing_is_changed(sayso: Sayso, ended: World) -> None:
    ended.buy("PO-2", requester="bob")
    before = ended.rows(audit)
    answer = sayso(*ERASE)
    assert (answer.code, "is open, and about them" in answer.out, "nothing was erased" in answer.err) == (4, True, True)
    assert ended.rows(audit) == before
    assert sayso(*ERASE, "--json").json["in_the_way"]


def test_a_dry_run_changes_nothing_and_says_the_same(sayso: Sayso, ended: World) -> None:
    before = ended.rows(audit)
    answer = sayso(*ERASE, "--dry-run")
    assert (answer.code, "log files" in answer.err) == (0, True)
    assert ended.rows(audit) == before
    assert [row.decided_by for row in ended.rows(tasks)] == ["bob"]


def test_without_a_running_stack_the_histories_wait_for_the_next_prune(sayso: Sayso, ended: World) -> None:
    answer = sayso(*ERASE[:-1])
    assert (answer.code, "left to the next `sayso ledger prune`" in answer.err) == (0, True)
