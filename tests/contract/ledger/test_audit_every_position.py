"""The audit chain at every place: any single edit, deletion, insertion or exchange is found, and every cut back to the last anchor.

Each change is tried on the real database within a transaction that is then rolled back, so all of them are tried on the same chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from ledger_world import World
from sqlalchemy import text

from sayso.ledger import Ledger, Transaction
from sayso.ledger.audit import record
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.schema import audit
from sayso.ledger.sealing import Anchor, anchor_chain, begin_chain, seal_batch
from sayso.ledger.verifying import Verdict, verify_in

KEY = AuditKey(b"k" * 32)
ENTRIES, ANCHORED = 12, 8
PLACES = range(1, ENTRIES + 1)
FREE = 1_000
"""A number that no entry has, to exchange two through it."""


class RolledBackError(Exception):
    """Ends a trial."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("rolled back")
        self.verdict = verdict


class Chain:
    """Twelve sealed entries of two persons on two cases, of which the first eight are anchored."""

    def __init__(self, ledger: Ledger, ledger_id: str) -> None:
        self.ledger = ledger
        self.ledger_id = ledger_id
        ledger.transact(partial(begin_chain, key=KEY, ledger_id=ledger_id))
        self._append(range(1, ANCHORED + 1))
        anchor = ledger.transact(partial(anchor_chain, ledger_id=ledger_id, interval_ms=0))
        assert isinstance(anchor, Anchor)
        self.anchors = {anchor.number: anchor.seal}
        ledger.transact(lambda tx: tx.run(text("DELETE FROM outbox")))
        self._append(range(ANCHORED + 1, ENTRIES + 1))
        self.seals = {row.number: row.seal for row in World(ledger).rows(audit)}

    def _append(self, numbers: Sequence[int]) -> None:
        def add(tx: Transaction) -> None:
            for number in numbers:
                actor, case = ("alice", "case-1") if number % 2 else ("bob", "case-2")
                record(tx, f"counted-{number % 3}", actor=actor, instance_id=case, event_seq=number, channel=f"c{number}", said=number)

        self.ledger.transact(add)
        assert seal_batch(self.ledger, KEY) == len(numbers)

    def after(self, *statements: str) -> Verdict:
        """What verifying says after these statements, which are then taken back."""

        def tamper(tx: Transaction) -> None:
            for statement in statements:
                tx.run(text(statement))
            raise RolledBackError(verify_in(tx, KEY, self.ledger_id, self.anchors))

        with pytest.raises(RolledBackError) as trial:
            self.ledger.transact(tamper)
        return trial.value.verdict

    def is_whole_after(self, *statements: str) -> bool:
        return not self.after(*statements).findings


@pytest.fixture
def chain(ledger: Ledger, world: World) -> Chain:
    made = Chain(ledger, world.rules.ledger_id)
    assert made.after().findings == ()
    assert made.after().sealed == ENTRIES
    return made


EDITS = (
    "at_ms = at_ms + 1",
    "actor = actor || ' '",
    "actor = 'mallory'",
    "channel = 'api'",
    "action = 'uncounted'",
    "instance_id = NULL",
    "instance_id = 'case-3'",
    "event_seq = NULL",
    "event_seq = event_seq + 100",
    "detail = '{}'",
    "detail = detail || ' '",
    "seq = seq + 1000",
    "seal = 'no seal'",
    f"number = number + {FREE}",
    "number = NULL, seal = NULL",
)


def test_any_single_edit_at_any_place_is_found(chain: Chain) -> None:
    missed = [
        (edit, number)
        for edit in EDITS
        for number in PLACES
        if chain.is_whole_after(f"UPDATE audit SET {edit} WHERE number = {number}")
    ]
    assert missed == []


def test_any_single_deletion_is_found_also_when_the_others_close_ranks(chain: Chain) -> None:
    for number in PLACES:
        delete = f"DELETE FROM audit WHERE number = {number}"
        assert not chain.is_whole_after(delete), number
        moved = [f"UPDATE audit SET number = {later - 1} WHERE number = {later}" for later in range(number + 1, ENTRIES + 1)]
        assert number == ENTRIES or not chain.is_whole_after(delete, *moved, f"UPDATE audit_chain SET number = {ENTRIES - 1}"), number


COPY = (
    "INSERT INTO audit (at_ms, actor, channel, action, instance_id, event_seq, detail, number, seal)"
    " SELECT at_ms, actor, channel, action, instance_id, event_seq, detail, {place}, seal FROM audit WHERE number = {source}"
)


def test_any_single_insertion_of_any_entry_at_any_place_is_found(chain: Chain) -> None:
    for place in range(1, ENTRIES + 2):
        up = [f"UPDATE audit SET number = {number + 1} WHERE number = {number}" for number in range(ENTRIES, place - 1, -1)]
        for source in PLACES:
            copied = COPY.format(place=place, source=source if source < place else source + 1)
            end = f"UPDATE audit_chain SET number = {ENTRIES + 1}"
            assert not chain.is_whole_after(*up, copied, end), (place, source)


def test_any_exchange_of_two_entries_is_found_with_their_seals_or_without(chain: Chain) -> None:
    for one in PLACES:
        for other in range(one + 1, ENTRIES + 1):
            swap = [f"UPDATE audit SET number = {to} WHERE number = {now}" for now, to in ((one, FREE), (other, one), (FREE, other))]
            assert not chain.is_whole_after(*swap), (one, other)
            seals = [f"UPDATE audit SET seal = '{chain.seals[number]}' WHERE number = {number}" for number in (one, other)]
            assert not chain.is_whole_after(*swap, *seals), (one, other)


def test_any_entry_that_was_moved_to_any_other_place_is_found(chain: Chain) -> None:
    for one in PLACES:
        for to in PLACES:
            if one == to:
                continue
            between = range(one + 1, to + 1) if to > one else range(one - 1, to - 1, -1)
            step = -1 if to > one else 1
            shifted = [f"UPDATE audit SET number = {number + step} WHERE number = {number}" for number in between]
            out, back = (f"UPDATE audit SET number = {after} WHERE number = {now}" for now, after in ((one, FREE), (FREE, to)))
            assert not chain.is_whole_after(out, *shifted, back), (one, to)


def cut(chain: Chain, last: int) -> Iterator[str]:
    """The end is gone, and the chain's row says so."""
    yield f"DELETE FROM audit WHERE number > {last}"
    seal = chain.seals.get(last, "nothing was sealed")
    yield f"UPDATE audit_chain SET number = {last}, seal = '{seal}', anchored_number = {min(last, ANCHORED)}"


def test_a_cut_off_end_is_found_back_to_the_last_anchor_and_always_when_the_chains_row_stays(chain: Chain) -> None:
    for last in range(ENTRIES):
        assert not chain.is_whole_after(f"DELETE FROM audit WHERE number > {last}"), last
        assert chain.is_whole_after(*cut(chain, last)) is (last >= ANCHORED), last
