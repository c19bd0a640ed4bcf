"""`sayso audit verify` on a real ledger: whole, changed, cut off, without its key."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from answers import Sayso
from ledger_world import World
from sqlalchemy import delete, update

from sayso.ledger.audit import record
from sayso.ledger.schema import audit, audit_chain, outbox
from sayso.settings import Settings
from sayso_subscribers.seal import Sealer


@pytest.fixture
def sealed(world: World, place: Path) -> World:
    """Three sealed entries."""
    for _ in range(3):
        world.ledger.transact(partial(record, action="counted"))
    Sealer(world.ledger, Settings(state_dir=place / "state"), world.rules.ledger_id).work()
    return world


def test_a_whole_chain_is_exit_code_0(sayso: Sayso, sealed: World) -> None:
    answer = sayso("audit", "verify")
    assert answer.code == 0
    assert "3 entries sealed" in answer.out
    assert "whole" in answer.err


def test_a_change_is_exit_code_1_and_named(sayso: Sayso, sealed: World) -> None:
    sealed.ledger.transact(lambda tx: tx.run(update(audit).where(audit.c.number == 2).values(actor="carol")))
    answer = sayso("audit", "verify", "--json")
    assert answer.code == 1
    assert [finding["number"] for finding in answer.json["findings"]] == [2]
    assert "entry 2 " in sayso("audit", "verify").out


@pytest.mark.parametrize(
    "line", ["audit anchor   ledger={} number=3 seal={}", '{{"event": "audit anchor", "ledger": "{}", "number": 3, "seal": "{}"}}']
)
@pytest.mark.parametrize("named", [False, True])
def test_anchors_of_the_log_or_of_a_named_file_show_what_was_cut_off(
    sayso: Sayso, sealed: World, place: Path, line: str, named: bool
) -> None:
    head = sealed.rows(audit_chain)[0]
    log = place / ("elsewhere.txt" if named else "state/logs/subscribers.log")
    log.parent.mkdir(exist_ok=True)
    log.write_text("another line\n" + line.format(sealed.rules.ledger_id, head.seal) + "\n")
    before = sealed.rows(audit)[1]
    sealed.ledger.transact(lambda tx: tx.run(delete(audit).where(audit.c.number == 3)))
    sealed.ledger.transact(lambda tx: tx.run(update(audit_chain).values(number=2, seal=before.seal)))
    sealed.ledger.transact(lambda tx: tx.run(delete(outbox)))
    answer = sayso("audit", "verify", *(["--anchors", str(log)] if named else []))
    assert answer.code == 1
    assert "entry 3 is missing" in answer.out
    assert "compared with 1 anchors" in answer.out


def test_a_missing_key_and_a_missing_file_are_said(sayso: Sayso, sealed: World, place: Path) -> None:
    assert sayso("audit", "verify", "--anchors", str(place / "nowhere")).code == 2
    (place / "state" / "audit.key").unlink()
    answer = sayso("audit", "verify")
    assert answer.code == 2
    assert "audit.key is missing" in answer.err


def test_a_ledger_that_was_never_sealed_is_not_said_to_be(sayso: Sayso, world: World) -> None:
    world.ledger.transact(partial(record, action="counted"))
    answer = sayso("audit", "verify")
    assert (answer.code, "0 entries sealed" in answer.out, "1 entries are not sealed yet" in answer.out) == (0, True, True)
    assert "nothing was sealed yet" in answer.err
