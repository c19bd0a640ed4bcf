"""Erasing a person: nothing of them is left in the ledger, all else is, and the audit chain verifies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from ledger_world import World
from sqlalchemy import text, update

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import CaseInput, Closing, StepInput, TaskDecision
from sayso.ledger.audit import record
from sayso.ledger.audit_key import AuditKey
from sayso.ledger.erasing import Erasure, erase, why_not
from sayso.ledger.schema import audit, cases, claims, engine_purges, events, metadata, notices, outbox, tasks
from sayso.ledger.sealing import begin_chain, seal_batch
from sayso.ledger.steps import complete_step
from sayso.ledger.verifying import Verdict, verify
from sayso.settings import LimitSettings, Settings

KEY = AuditKey(b"k" * 32)


@pytest.fixture
def chained(world: World) -> World:
    world.ledger.transact(partial(begin_chain, key=KEY, ledger_id=world.rules.ledger_id))
    return world


def verdict(world: World) -> Verdict:
    seal_batch(world.ledger, KEY)
    return verify(world.ledger, KEY, world.rules.ledger_id, {})


def story(world: World, key: str = "PO-1", approver: str = "Bob") -> None:
    """Alice asks, Bob decides in his words, the case ends, everything is published and sent."""
    world.buy(key)
    seq = decided(world, key, approver)
    case = next(row for row in world.rows(cases) if row.key == key)
    ref = CaseInput.model_validate_json(case.input).case
    closing = Closing(outcome=Outcome.APPROVED, result=f"Approved by '{approver}'", reason=f"{approver} said so")
    decision = TaskDecision(decision="approve", decided_by=approver, comment="my mother pays", channel="topic")
    step = StepInput(case=ref, step="close_case", iteration=0, used=[seq], decision=decision, closing=closing)
    world.ledger.transact(partial(complete_step, step=step, result={}))
    world.ledger.transact(lambda tx: tx.run(update(outbox).values(published_at_ms=tx.now_ms, due_at_ms=None)))
    world.ledger.transact(lambda tx: tx.run(update(notices).values(sent_at_ms=tx.now_ms, due_at_ms=None)))


def decided(world: World, key: str, approver: str) -> int:
    world.decide(key, approver)
    return int(world.events[-1].seq)


def erased(world: World, person: str) -> Erasure:
    return world.ledger.transact(partial(erase, person=person, actor="olga", reason="asked for it"))


def everything(world: World) -> str:
    """All words of all tables."""
    found = []
    for table in metadata.sorted_tables:
        for row in world.rows(table):
            found += [bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value) for value in row]
    return "\n".join(found)


def test_nothing_of_an_erased_person_is_left_and_the_chain_verifies(chained: World) -> None:
    story(chained)
    assert verdict(chained).findings == ()
    assert "Bob" in everything(chained)
    assert "my mother" in everything(chained)
    done = erased(chained, "bob")
    left = everything(chained)
    assert "bob" not in left.casefold()
    assert "my mother" not in left
    assert "alice" in left
    assert done.entries > 0
    assert verdict(chained).findings == ()


def test_what_happened_and_that_it_was_erased_is_still_told(chained: World) -> None:
    story(chained)
    verdict(chained)
    before = [(row.action, row.number, row.seal) for row in chained.rows(audit)]
    erased(chained, "bob")
    rows = chained.rows(audit)
    assert [(row.action, row.number, row.seal) for row in rows[:-1]] == before
    assert (rows[-1].action, rows[-1].actor) == ("person-erased", "olga")
    (task,) = chained.rows(tasks)
    assert (task.decision, task.decided_by) == ("approve", "(erased)")


def test_the_same_bytes_are_known_again_after_an_erasure(chained: World) -> None:
    story(chained)
    original = bytes(chained.events[-1].original)
    erased(chained, "bob")
    assert chained.events[-1].redacted_at_ms is not None
    chained.receive("approvals", original)
    assert chained.events[-1].sightings == 2
    assert "Bob" not in everything(chained)


@pytest.mark.parametrize("person", ["alice", "ALICE "])
def test_nobody_is_erased_while_an_open_case_is_about_them(chained: World, person: str) -> None:
    chained.buy("PO-1")
    why = chained.ledger.read(partial(why_not, person=person))
    assert any("is open" in reason for reason in why)
    assert chained.ledger.read(partial(why_not, person="carol")) == []


def test_nobody_is_erased_while_an_event_about_them_waits_or_is_to_be_published(chained: World) -> None:
    chained.decide("PO-9", "dora")
    (why,) = chained.ledger.read(partial(why_not, person="dora"))
    assert "event 1 is" in why


def test_instances_of_the_erased_are_listed_for_the_engine_to_forget(chained: World) -> None:
    story(chained)
    story(chained, "PO-2", "carol")
    done = erased(chained, "bob")
    (first, _) = chained.rows(cases)
    assert done.instances == (first.instance_id,)
    assert [row.instance_id for row in chained.rows(engine_purges)] == [first.instance_id]


def test_another_person_whose_name_contains_theirs_stays(chained: World) -> None:
    story(chained)
    story(chained, "PO-2", "bobby")
    story(chained, "PO-3", "bob@example.com")
    erased(chained, "bob")
    assert [row.decided_by for row in chained.rows(tasks)] == ["(erased)", "bobby", "bob@example.com"]


def test_a_name_in_other_letters_is_found_however_it_is_written(chained: World) -> None:
    story(chained, approver="Zoë")
    erased(chained, "zoë")
    left = everything(chained)
    assert "Zo\\u00eb" not in left
    assert "Zoë" not in left
    assert verdict(chained).findings == ()


@pytest.mark.parametrize(
    "edit",
    [
        "actor = '(erased)', salts = '{}'",
        "salts = '{}'",
        "salts = NULL, commitments = NULL",
        "actor = 'mallory'",
        "salts = NULL",
        "commitments = NULL",
    ],
)
def test_an_erasure_that_nobody_asked_for_is_found(chained: World, edit: str) -> None:
    chained.ledger.transact(partial(record, action="counted", actor="alice"))
    chained.ledger.transact(partial(record, action="counted", actor="bob"))
    verdict(chained)
    chained.ledger.transact(lambda tx: tx.run(text(f"UPDATE audit SET {edit} WHERE number = 1")))
    (finding,) = verdict(chained).findings
    assert finding.number == 1


def test_an_erased_entry_is_still_guarded(chained: World) -> None:
    story(chained)
    verdict(chained)
    erased(chained, "bob")
    verdict(chained)
    entry = next(row.number for row in chained.rows(audit) if row.actor == "(erased)")
    for edit in ("actor = 'carol'", "action = 'decided-reject'", "at_ms = at_ms + 1", "event_seq = NULL"):
        chained.ledger.transact(lambda tx, edit=edit: tx.run(text(f"UPDATE audit SET {edit} WHERE number = {entry}")))
        assert entry in {finding.number for finding in verdict(chained).findings}


def test_an_entry_of_before_there_were_commitments_verifies_and_is_told_as_kept(chained: World) -> None:
    chained.ledger.transact(partial(record, action="counted", actor="bob"))
    chained.ledger.transact(lambda tx: tx.run(update(audit).values(salts=None, commitments=None)))
    assert verdict(chained).findings == ()
    done = erased(chained, "bob")
    assert (done.entries, done.kept_entries) == (0, 1)
    assert verdict(chained).findings == ()


def test_events_without_a_case_are_redacted_too(chained: World) -> None:
    chained.send("approvals", "com.acme.unknown.v1", {"approver": "dora", "reason": "privately"})
    chained.ledger.transact(lambda tx: tx.run(update(outbox).values(published_at_ms=tx.now_ms, due_at_ms=None)))
    assert chained.ledger.read(partial(why_not, person="dora")) == []
    erased(chained, "dora")
    assert "dora" not in everything(chained)
    assert "privately" not in everything(chained)
    assert chained.rows(events)[0].redacted_at_ms is not None


def test_a_large_text_of_their_own_request_goes_too(chained: World) -> None:
    chained.rules = replace(chained.rules, settings=Settings(limits=LimitSettings(inline_bytes=4_096)))
    words = "my private life " * 600
    chained.send(
        "requests", "com.acme.request.submitted.v1", {"request_id": "R-1", "requester": "dora", "amount": 5, "description": words}
    )
    assert chained.rows(claims)
    chained.ledger.transact(lambda tx: tx.run(update(cases).values(phase="closed", outcome="approved", closed_at_ms=1)))
    chained.ledger.transact(lambda tx: tx.run(update(outbox).values(published_at_ms=tx.now_ms, due_at_ms=None)))
    chained.ledger.transact(lambda tx: tx.run(update(notices).values(sent_at_ms=tx.now_ms, due_at_ms=None)))
    erased(chained, "dora")
    left = everything(chained)
    assert "private life" not in left
    assert "dora" not in left
