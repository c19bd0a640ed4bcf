"""Steps of a case: recorded once; closing a case and marking what it did not use is one transaction."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from ledger_world import World, cloudevent
from sqlalchemy import update

from sayso.contracts.cases import Outcome
from sayso.contracts.workflow_io import (
    RECORDED_AT,
    CaseRef,
    Closing,
    DeadlineInput,
    Notice,
    OutgoingEvent,
    Refusal,
    StepInput,
    TaskDecision,
)
from sayso.ledger.audit import record
from sayso.ledger.outbox import notify, publish
from sayso.ledger.schema import audit, cases, events, notices, outbox, steps, tasks
from sayso.ledger.steps import complete_step, confirm_deadline

APPROVE = TaskDecision(decision="approve", decided_by="bob", comment="fine")
COMMAND = OutgoingEvent(slot="payment-requested", topic="payment-commands", type="sayso.payment.requested.v1", data={"n": 1})
NOTE = Notice(name="send_note", recipient="alice", title="Hello", body="…")


@pytest.fixture
def running(world: World) -> World:
    """A case that runs, with one decision delivered."""
    world.buy()
    world.drive()
    world.decide()
    world.drive()
    return world


def test_a_step_records_all_that_goes_with_it_at_once(running: World) -> None:
    seq = running.events[-1].seq
    done = running.step(
        "place_order", {"order": 7}, used=[seq], decision=APPROVE, publish=[COMMAND], notices=[NOTE], stage="waits for payment"
    )
    assert done == {"order": 7}
    event, task = running.events[-1], running.task
    assert (event.state, event.reason) == ("consumed", f"used by place_order of {running.case.instance_id}")
    assert (task.state, task.decision, task.decided_by, task.comment) == ("decided", "approve", "bob", "fine")
    assert (running.case.stage, running.case.phase) == ("waits for payment", "running")
    row = running.rows(outbox)[-1]
    assert (row.topic, row.event_id) == ("payment-commands", f"{running.case.instance_id}:payment-requested")
    assert running.rows(notices)[-1].notice_id == f"{running.case.instance_id}/send_note/0"
    decided = running.rows(audit)[-1]
    assert (decided.action, decided.actor, decided.channel, decided.event_seq) == ("decided-approve", "bob", "topic", seq)


def test_a_rerun_of_a_step_gives_the_same_result_and_has_no_second_effect(running: World) -> None:
    seq = running.events[-1].seq
    record: dict[str, Any] = {"used": [seq], "decision": APPROVE, "publish": [COMMAND], "notices": [NOTE]}
    first = running.step("place_order", {"order": 7}, **record)
    before = [running.rows(table) for table in (events, cases, steps, tasks, outbox, notices, audit)]
    assert running.step("place_order", {"order": 8}, **record) == first
    assert [running.rows(table) for table in (events, cases, steps, tasks, outbox, notices, audit)] == before
    assert running.step("place_order", {"order": 9}, iteration=1) == {"order": 9}


def test_a_step_says_when_it_was_recorded_and_a_rerun_says_the_same(running: World) -> None:
    step = StepInput(case=running.ref, step="place_order")
    first = running.ledger.transact(partial(complete_step, step=step, result={"order": 7}))
    assert datetime.fromisoformat(first[RECORDED_AT]).timestamp() * 1000 == pytest.approx(running.rows(steps)[0].done_at_ms)
    assert running.ledger.transact(partial(complete_step, step=step, result={"order": 8})) == first


def test_a_step_of_a_closed_case_does_nothing(running: World) -> None:
    running.close("rejected")
    before = [running.rows(table) for table in (events, cases, steps, tasks, outbox, notices)]
    told = len(running.rows(audit))
    assert running.step("place_order", {"order": 7}, decision=APPROVE, publish=[COMMAND]) == {"skipped": "the case has ended"}
    assert running.close("completed", iteration=1) == {"skipped": "the case has ended"}
    assert [running.rows(table) for table in (events, cases, steps, tasks, outbox, notices)] == before
    assert [row.action for row in running.rows(audit)[told:]] == ["effect-after-end"], "what had been done is told to who looks"


def test_a_rerun_of_the_closing_step_gives_its_first_result(running: World) -> None:
    closing = Closing.model_validate({"outcome": "completed", "result": "paid"})
    assert running.step("cancel_order", {"cancelled": True}, closing=closing) == {"cancelled": True}
    assert running.step("cancel_order", {"cancelled": False}, closing=closing) == {"cancelled": True}
    assert [topic for topic, _ in running.published].count("outcomes") == 1


def test_a_step_of_a_case_that_this_ledger_does_not_know_does_nothing(running: World) -> None:
    stranger = running.ref.model_copy(update={"instance_id": "somebody-elses-1-abcdef"})
    assert running.step("place_order", ref=stranger, publish=[COMMAND]) == {"skipped": "no such case in this ledger"}
    assert len(running.published) == 1


def test_closing_says_how_it_ended_to_everyone(running: World) -> None:
    closing = Closing.model_validate(
        {"outcome": "completed", "result": "Approved by 'bob'", "reason": "paid", "milestones": ["approved", "paid"]}
    )
    running.step("close_case", closing=closing)
    case = running.case
    assert (case.phase, case.outcome, json.loads(case.result), case.reason) == ("closed", "completed", "Approved by 'bob'", "paid")
    assert (json.loads(case.milestones), case.stage, case.due_at_ms) == (["approved", "paid"], None, None)
    assert case.closed_at_ms >= case.opened_at_ms
    (row,) = [row for row in running.rows(outbox) if row.topic == "outcomes"]
    said = json.loads(row.body)
    assert (row.event_id, said["id"], said["type"]) == (f"{case.instance_id}:closed", row.event_id, "sayso.case.closed.v1")
    assert {name: said["data"][name] for name in ("case", "workflow", "key", "generation", "outcome", "result", "milestones")} == {
        "case": case.instance_id,
        "workflow": "purchase_order_workflow",
        "key": "PO-1",
        "generation": 1,
        "outcome": "completed",
        "result": "Approved by 'bob'",
        "milestones": ["approved", "paid"],
    }
    assert running.audit_actions[-1] == "case-closed"


def test_what_a_case_did_not_use_is_unclaimed_when_it_ends(running: World) -> None:
    used = running.events[-1].seq
    running.decide()
    running.drive()
    running.pay()
    running.close("rejected", used=[used])
    assert running.states == ["started", "consumed", "unclaimed", "unclaimed"]
    assert running.events[-1].reason == f"{running.case.instance_id} ended without using it"
    assert [letter["state"] for letter in running.dead_letters] == ["unclaimed", "unclaimed"]
    assert running.task.state == "cancelled"
    assert running.lease() == []


def test_refused_events_say_why_and_are_dead_letters_once(running: World) -> None:
    seq = running.events[-1].seq
    refusal = Refusal(seq=seq, reason="alice is the requester")
    running.step("record_refusal", refused=[refusal])
    running.step("record_refusal", refused=[refusal], iteration=1)
    running.close("rejected", refused=[refusal])
    assert (running.events[-1].state, running.events[-1].reason) == ("refused", "alice is the requester")
    assert [letter["reason"] for letter in running.dead_letters] == ["alice is the requester"]


def test_a_run_that_began_anew_marks_what_only_it_has_seen(running: World) -> None:
    """Its step has a result from the lost run; the event that this run refuses must not stay without a final state."""
    running.step("record_refusal", refused=[Refusal(seq=running.events[-1].seq, reason="alice is the requester")])
    running.decide()
    running.drive()
    running.step("record_refusal", refused=[Refusal(seq=running.events[-1].seq, reason="the same again")])
    assert [(event.state, event.reason) for event in running.events[1:]] == [
        ("refused", "alice is the requester"),
        ("refused", "the same again"),
    ]


def test_what_was_raised_past_the_ledger_is_audited(running: World) -> None:
    running.step("record_refusal", refused=[Refusal(seq=None, reason="not accepted")])
    entry = running.rows(audit)[-1]
    assert (entry.action, entry.channel, json.loads(entry.detail)) == ("raise-refused", "dapr-api", {"reason": "not accepted"})


def test_a_step_cannot_mark_another_cases_event(running: World) -> None:
    running.buy("PO-2")
    running.decide("PO-2")
    other = running.events[-1]
    (mine,) = [case for case in running.rows(cases) if case.key == "PO-1"]
    ref = CaseRef.model_validate(json.loads(mine.input)["case"])
    running.step("place_order", ref=ref, used=[other.seq], refused=[Refusal(seq=other.seq, reason="?")])
    assert running.events[-1] == other


def test_closing_is_all_or_nothing(running: World) -> None:
    running.pay()
    before = [running.rows(table) for table in (events, cases, steps, tasks, outbox, audit)]

    def broken(tx: Any) -> None:
        closing = Closing.model_validate({"outcome": "completed", "result": "done"})
        complete_step(tx, StepInput(case=running_ref, step="close_case", closing=closing), {})
        raise LookupError("killed here")

    running_ref = running.ref
    with pytest.raises(LookupError):
        running.ledger.transact(broken)
    assert [running.rows(table) for table in (events, cases, steps, tasks, outbox, audit)] == before


class TestDeadline:
    """What `confirm_deadline` counts as pending."""

    @pytest.fixture
    def deadline(self, world: World) -> datetime:
        world.buy()
        world.drive()
        return datetime.fromtimestamp(world.task.due_at_ms / 1000, UTC)

    def received_at(self, world: World, at: datetime) -> None:
        at_ms = round(at.timestamp() * 1000)
        world.ledger.transact(
            lambda tx: tx.run(update(events).where(events.c.type == "sayso.approval.decided.v1").values(received_at_ms=at_ms))
        )

    def past(self, world: World, deadline: datetime) -> datetime:
        """The same deadline, passed a moment ago by the database's clock, with all that was received as much earlier."""
        span_ms = (deadline - datetime.now(UTC)) // timedelta(milliseconds=1) + 1_000
        world.change(events, received_at_ms=events.c.received_at_ms - span_ms)
        world.change(tasks, due_at_ms=tasks.c.due_at_ms - span_ms)
        return deadline - timedelta(milliseconds=span_ms)

    def test_a_deadline_that_has_not_passed_by_the_databases_clock_is_early(self, world: World, deadline: datetime) -> None:
        asked = DeadlineInput(case=world.ref, deadline=deadline, waited_for=["approval_received"])
        answer = world.ledger.transact(partial(confirm_deadline, asked=asked))
        assert answer["pending"] == 0
        assert timedelta(hours=23) < timedelta(milliseconds=answer["early_ms"]) <= timedelta(hours=24, milliseconds=1)
        assert world.task.state == "open"
        asked = asked.model_copy(update={"deadline": self.past(world, deadline)})
        assert world.ledger.transact(partial(confirm_deadline, asked=asked)) == {"pending": 0, "early_ms": 0}
        assert world.task.state == "expired"

    @pytest.mark.parametrize(("after", "pending"), [(timedelta(0), 1), (timedelta(milliseconds=1), 0), (-timedelta(hours=1), 1)])
    @pytest.mark.parametrize("raised", [True, False])
    def test_a_decision_counts_if_it_was_received_in_time_raised_or_not(
        self, world: World, deadline: datetime, after: timedelta, pending: int, raised: bool
    ) -> None:
        world.decide()
        deadline = self.past(world, deadline)
        self.received_at(world, deadline + after)
        if raised:
            world.drive()
        assert world.confirm_deadline(deadline, "approval_received") == pending
        assert world.task.state == ("open" if pending else "expired")

    def test_only_events_that_are_waited_for_and_not_handled_yet_count(self, world: World, deadline: datetime) -> None:
        world.pay()
        world.decide()
        seq = world.events[-1].seq
        assert world.confirm_deadline(deadline, "approval_received", "withdraw_requested") == 1
        assert world.confirm_deadline(deadline, "approval_received", handled=(seq,)) == 0
        assert world.confirm_deadline(deadline, "withdraw_requested") == 0
        world.step("record_refusal", refused=[Refusal(seq=seq, reason="no")])
        assert world.confirm_deadline(deadline, "approval_received") == 0

    def test_a_message_that_nobody_has_looked_at_yet_may_be_the_decision(self, world: World, deadline: datetime) -> None:
        world.receive("approvals", cloudevent("sayso.approval.decided.v1", {"order_id": "PO-1", "approver": "bob"}))
        assert world.confirm_deadline(deadline, "approval_received") == 1
        world.route()
        world.drive()
        assert world.confirm_deadline(deadline, "approval_received") == 1
        seq = world.events[-1].seq
        world.step("place_order", used=[seq])
        assert world.confirm_deadline(deadline, "approval_received", handled=(seq,)) == 0

    def test_a_decision_that_an_earlier_run_used_is_waited_for_by_the_run_that_has_not_seen_it(
        self, world: World, deadline: datetime
    ) -> None:
        """The engine lost the instance after the order was placed: its successor must not cancel it because its timer comes first."""
        world.decide()
        world.drive()
        seq = world.events[-1].seq
        world.step("place_order", used=[seq])
        assert world.confirm_deadline(deadline, "approval_received") == 1
        assert world.confirm_deadline(deadline, "approval_received", handled=(seq,)) == 0

    def test_a_message_that_came_after_the_deadline_delays_nobody(self, world: World, deadline: datetime) -> None:
        world.receive("approvals", b"anything")
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        assert world.confirm_deadline(long_ago, "approval_received") == 0
        assert world.confirm_deadline(deadline, "approval_received") == 1


NAUGHTY = [
    "a\0b",
    "\0",
    "unpaired \ud800 surrogate",
    "Robert'); DROP TABLE cases;--",
    "\u202eright to left\u202c \u200b \ufeff",
    "Z\u0351\u036e\u0347a\u0489lgo",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0010ffff",
    "line\r\nbreak\ttab\x1b[31m",
    "%s %(name)s :name ? {0} ${x} \\ \\u0000",
    "x" * 100_000,
]


@pytest.mark.parametrize("words", NAUGHTY, ids=range(len(NAUGHTY)))
def test_any_words_can_be_written_into_every_text_column(running: World, words: str) -> None:
    def write(tx: Any) -> None:
        instance_id = running_ref.instance_id
        publish(tx, event_id="e", topic=words, event_type=words, key=words, data={"said": words}, instance_id=instance_id)
        notify(tx, notice_id="n", instance_id=instance_id, name=words, recipient=words, title=words, body=words)
        record(tx, words, actor=words, channel=words, said=words)
        for table in (events, cases, tasks, outbox, notices):
            plain = {"key", "workflow", "stage"} | {column.name for column in table.primary_key}
            columns = [column for column in table.c if type(column.type).__name__ == "Words" and column.name not in plain]
            tx.run(update(table).values({column.name: words for column in columns}))

    running_ref = running.ref
    running.ledger.transact(write)
    kept = {row.reason for row in running.events} | {running.task.comment, running.case.last_error, running.rows(notices)[-1].body}
    (said,) = kept
    if "\0" not in words and "\ud800" not in words:
        assert said == words
    else:
        assert said.replace("\u2400", "\0").replace("\ufffd", "") == words.replace("\ud800", "")


def test_a_step_with_words_that_postgresql_does_not_take_is_recorded(running: World) -> None:
    """Dapr's own raise can carry any JSON: a step that fails for it would be tried again for most of a day."""
    words = "x\0\ud800"
    closing = Closing(outcome=Outcome.REJECTED, result={"reason": words}, reason=words, milestones=[words])
    decision = TaskDecision(decision="reject", decided_by=words, comment=words, channel="dapr-api")
    notice = Notice(name="n", recipient=words, title=words, body=words)
    running.step("close_case", {"answer": words}, closing=closing, decision=decision, notices=[notice])
    assert running.case.phase == "closed"
    assert running.task.decided_by == "x\u2400\ufffd\ufffd\ufffd"
    (step,) = running.rows(steps)
    assert json.loads(step.result) == {"answer": words}
