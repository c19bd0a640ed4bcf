"""Backup and restore: the rows of one moment, whole or not at all, from either kind of ledger into either kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from ledger_world import World
from sqlalchemy import select

from sayso.errors import ConfigurationError
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.backup import back_up, restore
from sayso.ledger.restoring import NUMBERS_LEFT_OUT, ask_for_survey, survey_wanted, unknown_of
from sayso.ledger.schema import cases, events, ledger_info, metadata


@pytest.fixture
def used(world: World) -> World:
    """A ledger with something in every kind of table."""
    for key in ("PO-1", "PO-2"):
        world.buy(key)
    world.decide("PO-1", approver="ünï\N{GRINNING FACE}")
    world.receive("purchases", b"\xff\x00 nonsense")
    world.route()
    (job, _) = world.lease()
    world.settle(job)
    return world


@pytest.fixture
def file(used: World, tmp_path: Path) -> Path:
    """Its backup."""
    path = tmp_path / "backup.db"
    assert back_up(used.ledger, path) == len(used.events)
    return path


def contents(ledger: Ledger) -> dict[str, list[object]]:
    tables = [table for table in metadata.sorted_tables if table.name != "ledger_info"]
    return ledger.read(lambda tx: {table.name: sorted(map(repr, tx.all(select(table)))) for table in tables})


def test_what_was_restored_is_what_was_backed_up(used: World, file: Path) -> None:
    before = contents(used.ledger)
    ledger_id = read_ledger_id(used.ledger)
    used.buy("PO-3")
    assert restore(used.ledger, file, replace=True) == len(before["events"])
    after = contents(used.ledger)
    assert {name: rows for name, rows in after.items() if name != "cases"} == {
        name: rows for name, rows in before.items() if name != "cases"
    }
    assert read_ledger_id(used.ledger) == ledger_id
    assert [case.key for case in used.rows(cases)] == ["PO-1", "PO-2"]


def test_a_backup_goes_into_the_other_kind_of_ledger(file: Path, used: World, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgresql_url" if used.ledger.dialect == "sqlite" else "sqlite_url")
    other = Ledger(url)
    try:
        restore(other, file, replace=False)
        assert len(contents(other)["events"]) == len(used.events)
        World(other).buy("PO-9")
    finally:
        other.close()


def test_numbers_that_were_given_after_the_backup_do_not_come_back(used: World, file: Path) -> None:
    used.buy("PO-3")
    lost = used.events[-1].seq
    restore(used.ledger, file, replace=True)
    last = used.events[-1].seq
    used.buy("PO-4")
    assert used.events[-1].seq > last + NUMBERS_LEFT_OUT > lost


def test_nothing_that_was_underway_is_started_before_the_engine_was_asked(used: World, file: Path) -> None:
    restore(used.ledger, file, replace=True)
    assert used.ledger.read(survey_wanted)
    used.change(cases, due_at_ms=0)
    assert {job.attempts > 1 for job in used.lease() if job.start} == {True}
    assert [case.check_at_ms is not None for case in used.rows(cases) if case.phase == "running"] == [True]


def test_a_ledger_in_use_is_not_replaced_by_accident(used: World, file: Path) -> None:
    before = contents(used.ledger)
    with pytest.raises(ConfigurationError, match="4 events, which would be lost"):
        restore(used.ledger, file, replace=False)
    assert contents(used.ledger) == before
    assert not used.ledger.read(survey_wanted)


def test_a_file_that_exists_is_not_written_over(used: World, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="exists already"):
        back_up(used.ledger, file)
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir() if "backup" in path.name) == ["backup.db"]


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0 and then nonsense" * 100])
def test_what_is_no_backup_changes_nothing(used: World, tmp_path: Path, content: bytes) -> None:
    before = contents(used.ledger)
    path = tmp_path / "other.db"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no backup of a ledger"):
        restore(used.ledger, path, replace=True)
    assert contents(used.ledger) == before


def test_a_restore_that_is_killed_has_done_nothing(used: World, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used.buy("PO-3")
    before = contents(used.ledger)

    def killed(_tx: object) -> None:
        raise LookupError("killed here")

    monkeypatch.setattr("sayso.ledger.backup.mark_restored", killed)
    with pytest.raises(LookupError):
        restore(used.ledger, file, replace=True)
    assert contents(used.ledger) == before


def test_only_instances_of_this_ledger_are_missed(used: World) -> None:
    mine = read_ledger_id(used.ledger)
    known = used.rows(cases)[0].instance_id
    ids = [known, f"purchase_order-PO-7-1-{mine}", "purchase_order-PO-7-1-ffffff0", "somebody-elses"]
    assert used.ledger.read(partial(unknown_of, instance_ids=ids)) == {f"purchase_order-PO-7-1-{mine}"}
    assert not used.ledger.transact(partial(ask_for_survey, instance_id="somebody-elses"))
    assert not used.ledger.read(survey_wanted)
    assert used.ledger.transact(partial(ask_for_survey, instance_id=f"purchase_order-PO-7-1-{mine}"))
    assert used.ledger.read(survey_wanted)
    assert {row.name for row in used.rows(ledger_info)} >= {"ledger_id", "survey"}
    assert len(used.rows(events)) == 4
