"""The audit chain: every entry sealed once, whatever is appended at the same time; whatever is changed afterwards is found."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis.strategies import characters, dictionaries, integers, none
from hypothesis.strategies import text as text_of
from ledger_world import World
from sqlalchemy import func, select, text

from sayso.ledger import Ledger, Transaction
from sayso.ledger.audit import record
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.schema import audit, audit_chain, tasks
from sayso.ledger.sealing import BATCH, anchor_chain, begin_chain, canonical, seal_batch
from sayso.ledger.verifying import Verdict, verify

PROCESS = Path(__file__).with_name("audit_process.py")
KEY = AuditKey(b"k" * 32)


@pytest.fixture
def ledger_id(world: World) -> str:
    return world.rules.ledger_id


class Chain:
    """The chain of one ledger."""

    def __init__(self, ledger: Ledger, ledger_id: str) -> None:
        self.ledger = ledger
        self.ledger_id = ledger_id
        ledger.transact(partial(begin_chain, key=KEY, ledger_id=ledger_id))

    def append(self, how_many: int = 10) -> None:
        def add(tx: Transaction) -> None:
            for number in range(how_many):
                record(tx, "counted", actor="alice", number=number, half=0.5, word="ünïcode ☃")

        self.ledger.transact(add)

    def seal(self) -> int:
        return seal_batch(self.ledger, KEY)

    def verify(self, key: AuditKey = KEY, **anchors: str) -> Verdict:
        return verify(self.ledger, key, self.ledger_id, {int(name.removeprefix("n")): seal for name, seal in anchors.items()})

    def tamper(self, *statements: str) -> None:
        def run(tx: Transaction) -> None:
            for statement in statements:
                tx.run(text(statement))

        self.ledger.transact(run)

    def found(self, key: AuditKey = KEY, **anchors: str) -> str:
        return "\n".join(finding.what for finding in self.verify(key, **anchors).findings)


@pytest.fixture
def chain(ledger: Ledger, ledger_id: str) -> Chain:
    """Ten sealed entries."""
    made = Chain(ledger, ledger_id)
    made.append()
    assert made.seal() == 10
    return made


def test_entries_are_sealed_in_batches_and_verify(chain: Chain) -> None:
    chain.append(2 * BATCH + 3)
    assert [chain.seal() for _ in range(4)] == [BATCH, BATCH, 3, 0]
    verdict = chain.verify()
    assert (verdict.sealed, verdict.unsealed, verdict.findings) == (10 + 2 * BATCH + 3, 0, ())


NAMES = text_of(characters(codec="ascii"), min_size=1)
TEXTS = text_of(characters(codec="utf-8"))
VALUES = none() | TEXTS | integers(-(2**53) + 1, 2**53 - 1)


@given(dictionaries(NAMES, VALUES | dictionaries(NAMES, VALUES)))
def test_what_is_sealed_is_rfc_8785(document: dict[str, Any]) -> None:
    assert canonical(document) == rfc8785.dumps(document)


def test_what_waits_for_the_sealer_is_counted(chain: Chain) -> None:
    chain.append(3)
    verdict = chain.verify()
    assert (verdict.sealed, verdict.unsealed, verdict.findings) == (10, 3, ())
    assert verdict.unsealed_since is not None


EDITS = [
    f"UPDATE audit SET {change} WHERE number = 7"
    for change in (
        "at_ms = at_ms + 1",
        "actor = 'carol'",
        "channel = 'api'",
        "action = 'uncounted'",
        "instance_id = 'other'",
        "event_seq = 4",
        "detail = '{}'",
        "seal = (SELECT b.seal FROM audit b WHERE b.number = 6)",
        "seq = seq + 1000",
    )
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found_whatever_it_changes(chain: Chain, edit: str) -> None:
    chain.tamper(edit)
    assert "entry 7 " in chain.found()
    assert "changed, moved or inserted" in chain.found()


def test_each_of_several_edits_is_found(chain: Chain) -> None:
    chain.tamper("UPDATE audit SET actor = 'carol' WHERE number IN (3, 7)")
    assert [finding.number for finding in chain.verify().findings] == [3, 7]


@pytest.mark.parametrize(
    ("which", "told"), [("4", "entry 4 is"), ("1", "entry 1 is"), ("4, 5, 6", "entries 4 to 6 are"), ("10", "entry 10 is")]
)
def test_a_deletion_is_found(chain: Chain, which: str, told: str) -> None:
    chain.tamper(f"DELETE FROM audit WHERE number IN ({which})")
    assert chain.found() == f"{told} missing: deleted, moved or cut off"


def test_a_deletion_hidden_by_new_numbers_is_found(chain: Chain) -> None:
    chain.tamper(
        "DELETE FROM audit WHERE number = 4",
        *(f"UPDATE audit SET number = {number - 1} WHERE number = {number}" for number in range(5, 11)),
        "UPDATE audit_chain SET number = 9",
    )
    assert "entry 4 " in chain.found()


COPY = (
    "INSERT INTO audit (at_ms, actor, channel, action, detail, number, seal)"
    " SELECT at_ms, actor, channel, action, detail, {number}, seal FROM audit WHERE number = 5"
)


def test_an_insertion_at_the_end_is_found(chain: Chain) -> None:
    chain.tamper(COPY.format(number=11))
    assert "entry 11 " in chain.found()
    chain.tamper("UPDATE audit_chain SET number = 11, seal = (SELECT seal FROM audit WHERE number = 11)")
    assert "entry 11 " in chain.found()


def test_an_insertion_in_the_middle_is_found(chain: Chain) -> None:
    moves = (f"UPDATE audit SET number = {number + 1} WHERE number = {number}" for number in range(10, 5, -1))
    chain.tamper(*moves, COPY.format(number=6), "UPDATE audit_chain SET number = 11")
    assert "entry 6 " in chain.found()


@pytest.mark.parametrize("number", [0, -3])
def test_an_insertion_before_the_beginning_is_found(chain: Chain, number: int) -> None:
    chain.tamper(COPY.format(number=number))
    assert "a number that the sealer never gave" in chain.found()


@pytest.mark.parametrize("with_seals", [False, True])
def test_a_reordering_is_found(chain: Chain, with_seals: bool) -> None:
    chain.tamper(*(f"UPDATE audit SET number = {to} WHERE number = {number}" for number, to in ((4, 40), (8, 4), (40, 8))))
    if with_seals:
        kept = {row.number: row.seal for row in World(chain.ledger).rows(audit)}
        chain.tamper(*(f"UPDATE audit SET seal = '{kept[other]}' WHERE number = {number}" for number, other in ((4, 8), (8, 4))))
    assert "entry 4 " in chain.found()
    assert "entry 8 " in chain.found()


def test_an_end_that_is_cut_off_is_found_by_the_chains_own_row(chain: Chain) -> None:
    chain.tamper("DELETE FROM audit WHERE number > 6")
    assert chain.found() == "entries 7 to 10 are missing: deleted, moved or cut off"


CUT = ("DELETE FROM audit WHERE number > 6", "UPDATE audit_chain SET number = 6, seal = (SELECT seal FROM audit WHERE number = 6)")


def test_an_end_that_is_cut_off_with_the_chains_row_shows_back_to_the_last_anchor(chain: Chain) -> None:
    anchor = chain.ledger.transact(partial(anchor_chain, ledger_id=chain.ledger_id, interval_ms=0))
    assert anchor is not None
    assert anchor.number == 10
    chain.tamper(*CUT, "DELETE FROM outbox")
    assert chain.found() == ""
    assert chain.found(n10=anchor.seal) == "entries 7 to 10 are missing: deleted, moved or cut off"


def test_the_outbox_keeps_an_anchor_too(chain: Chain) -> None:
    chain.ledger.transact(partial(anchor_chain, ledger_id=chain.ledger_id, interval_ms=0))
    chain.tamper(*CUT)
    assert "entries 7 to 10 are missing" in chain.found()


def test_a_chain_made_again_with_the_key_does_not_fit_the_anchors(chain: Chain) -> None:
    old = World(chain.ledger).rows(audit)[9].seal
    chain.tamper(
        "UPDATE audit SET number = NULL, seal = NULL", "DELETE FROM audit_chain", "UPDATE audit SET channel = 'api' WHERE seq = 3"
    )
    Chain(chain.ledger, chain.ledger_id).seal()
    assert chain.found() == ""
    assert "another seal than the anchor of number 10" in chain.found(n10=old)


def test_a_chain_whose_row_is_gone_is_found(chain: Chain) -> None:
    chain.tamper("DELETE FROM audit_chain")
    assert "the row that says where the chain ends is missing" in chain.found()


def test_another_key_is_not_taken_for_tampering(chain: Chain) -> None:
    assert chain.found(AuditKey(b"x" * 32)) == "this is not the key that the chain was sealed with"


def test_an_entry_that_is_unsealed_again_leaves_a_gap_for_ever(chain: Chain) -> None:
    chain.tamper("UPDATE audit SET number = NULL, seal = NULL, channel = 'api' WHERE number = 4")
    assert chain.seal() == 1
    assert chain.found() == "entry 4 is missing: deleted, moved or cut off"


def test_anchors_are_published_when_the_chain_has_grown_and_it_is_time(chain: Chain, world: World) -> None:
    def anchor(interval_ms: int) -> int | None:
        made = chain.ledger.transact(partial(anchor_chain, ledger_id=chain.ledger_id, interval_ms=interval_ms))
        return made.number if made is not None else None

    assert [anchor(60_000), anchor(0), anchor(0)] == [None, 10, None]
    chain.append(2)
    chain.seal()
    assert [anchor(60_000), anchor(0)] == [None, 12]
    anchors = [data for topic, data in world.published if topic == "audit-anchors"]
    assert [(data["ledger"], data["number"]) for data in anchors] == [(chain.ledger_id, 10), (chain.ledger_id, 12)]
    assert anchors[-1]["seal"] == world.rows(audit_chain)[0].seal


def processes(url: str, *what: tuple[str, int]) -> list[subprocess.Popen[bytes]]:
    arguments = ([sys.executable, str(PROCESS), url, name, str(how_many), KEY.secret.hex()] for name, how_many in what)
    return [subprocess.Popen(command, stdout=subprocess.PIPE) for command in arguments]


def test_entries_of_many_processes_are_each_sealed_once_by_several_sealers(ledger: Ledger, ledger_id: str) -> None:
    """Case 63."""
    each = 50
    started = processes(ledger.url, *[("append", each)] * 4, *[("seal", 4 * each)] * 2)
    assert [process.wait(120) for process in started] == [0] * 6
    for process in started:
        process.communicate()
    rows = World(ledger).rows(audit)
    assert sorted(row.number for row in rows) == list(range(1, 4 * each + 1))
    verdict = verify(ledger, KEY, ledger_id, {})
    assert (verdict.sealed, verdict.unsealed, verdict.findings) == (4 * each, 0, ())


def test_a_crash_leaves_no_decision_without_its_audit_entry_and_no_entry_without_its_decision(world: World) -> None:
    """Case 64."""
    for number in range(60):
        world.buy(f"PO-{number}")
    (process,) = processes(world.ledger.url, ("decide", 60))
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(20)]
    process.kill()
    process.communicate()
    assert all(said)
    decided = {row.instance_id for row in world.rows(tasks) if row.state == "decided"}
    audited = [row.instance_id for row in world.rows(audit) if row.action == "decided-approve"]
    assert sorted(audited) == sorted(decided)
    assert {line.decode().strip() for line in said} <= decided


def sealed_entries(ledger: Ledger) -> int:
    return int(ledger.read(lambda tx: tx.run(select(func.count()).where(audit.c.number.isnot(None))).scalar_one()))


def test_a_sealer_that_is_killed_leaves_a_whole_chain(ledger: Ledger, ledger_id: str) -> None:
    chain = Chain(ledger, ledger_id)
    chain.append(2 * BATCH)
    for _ in range(3):
        (process,) = processes(ledger.url, ("seal", 2 * BATCH))
        before, deadline = sealed_entries(ledger), time.monotonic() + 60
        while sealed_entries(ledger) == before and process.poll() is None:
            assert time.monotonic() < deadline
        process.kill()
        process.communicate()
        assert chain.verify().findings == ()
    while chain.seal():
        pass
    verdict = chain.verify()
    assert (verdict.sealed, verdict.unsealed, verdict.findings) == (2 * BATCH, 0, ())
