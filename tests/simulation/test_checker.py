"""The checker finds what is wrong: a run in which all is well, and one change at a time that must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sayso.simulator.checker import Terms, check
from sayso.simulator.observed import (
    CaseEnd,
    DeadLetter,
    Effect,
    FinalState,
    LateReply,
    Observed,
    Published,
    Sent,
    Use,
    read_lines,
    write_lines,
)

PURCHASE = "purchase_order_workflow"
CASE = "purchase_order-PO-1-1-abcdef"


def sent(name: str, intent: str, **fields: Any) -> Sent:
    values: dict[str, Any] = {"source": "/test", "topic": "t", "type": "x", "key": "PO-1", "digest": name, "workflow": PURCHASE}
    return Sent(event_id=name, intent=intent, **values | fields)


def row(name: str, state: str, case: str | None = CASE, **fields: Any) -> FinalState:
    values: dict[str, Any] = {"topic": "t", "digest": name, "source": "/test", "event_id": name, "reason": "because"}
    return FinalState(state=state, case=case, **values | fields)


def paid_order() -> Observed:
    """One order: approved, placed and paid; a second decision was refused, a second payment came too late."""
    run = Observed()
    run.sent = [
        sent("open", "open"),
        sent("yes", "approve", actor="bob", sent_at=10.0, accepted_at=11.0),
        sent("no", "reject", actor="carol", sent_at=20.0, accepted_at=21.0),
        sent("pay", "pay", sent_at=30.0, accepted_at=31.0),
        sent("pay-2", "pay", sent_at=40.0, accepted_at=41.0),
        sent("junk", "malformed"),
    ]
    run.states = [
        row("open", "started"),
        row("yes", "consumed"),
        row("no", "refused"),
        row("pay", "consumed"),
        row("pay-2", "late"),
        row("junk", "rejected", None, source=None, event_id=None),
    ]
    run.effects = [Effect(f"{CASE}/place_order/0", "orders.placed", "PO-1")]
    run.published = [
        Published("approval-requests", f"{CASE}:requested:approval", "sayso.approval.requested.v1", CASE, {}),
        Published("payment-commands", f"{CASE}:payment-requested", "sayso.payment.requested.v1", CASE, {"amount": "1200"}),
        Published("outcomes", f"{CASE}:closed", "sayso.case.closed.v1", CASE, {"outcome": "completed"}),
    ]
    run.dead_letters = [
        DeadLetter("dead:3", "/test", "no", "t", "no", "refused", "because"),
        DeadLetter("dead:5", "/test", "pay-2", "t", "pay-2", "late", "because"),
        DeadLetter("dead:6", None, None, "t", "junk", "rejected", "because"),
    ]
    run.uses = [Use(CASE, "/test", "yes"), Use(CASE, "/test", "pay")]
    run.cases = [CaseEnd(CASE, PURCHASE, "PO-1", 1, "completed", "bob", opened_at=0.0, due_at=100.0, payment_due_at=200.0)]
    return run


def set_row(run: Observed, number: int, **fields: Any) -> None:
    run.states[number] = replace(run.states[number], **fields)


def set_case(run: Observed, **fields: Any) -> None:
    run.cases[0] = replace(run.cases[0], **fields)


def time_out(run: Observed) -> None:
    """The decisions are left over, nothing was placed."""
    run.states[1:5] = [row(name, "late") for name in ("yes", "no", "pay", "pay-2")]
    run.dead_letters = [DeadLetter(f"dead:{name}", "/test", name, "t", name, "late", "because") for name in ("yes", "no", "pay")]
    run.dead_letters += paid_order().dead_letters[1:]
    run.effects = [Effect(f"{CASE}/cancel_order/0", "orders.cancelled", "PO-1")]
    run.published = [run.published[0], replace(run.published[2], data={"outcome": "timed_out"})]
    run.uses = []
    set_case(run, outcome="timed_out", decided_by=None)


def refund_a_refused_payment(run: Observed) -> None:
    set_row(run, 4, state="refused")
    run.dead_letters[1] = replace(run.dead_letters[1], state="refused")
    run.late_replies.append(LateReply("refund:5", "refund", "/test", "pay-2"))


def refund_without_a_dead_letter(run: Observed) -> None:
    run.dead_letters.pop(1)
    run.late_replies.append(LateReply("refund:5", "refund", "/test", "pay-2"))


def fill_a_second_seat(run: Observed) -> None:
    set_case(run, approvals=2)
    run.sent.append(sent("yes-2", "approve", actor="bob", sent_at=10.0, accepted_at=11.0))
    run.states.append(row("yes-2", "consumed"))


def ask_on_a_stage(run: Observed, stage: str) -> None:
    run.published[0] = replace(run.published[0], data={"stage": stage})
    run.published.append(replace(run.published[0], id=f"{CASE}:requested:again"))


BROKEN: dict[str, tuple[str, Callable[[Observed], Any]]] = {
    "an accepted event has no row": ("lost", lambda run: run.states.pop(2)),
    "a malformed message has no row": ("lost", lambda run: run.states.pop(5)),
    "two rows for one identity": ("row twice", lambda run: run.states.append(row("yes", "consumed", digest="other"))),
    "two rows for the same bytes": ("row twice", lambda run: run.states.append(row("yes", "consumed"))),
    "an event that nobody sent": ("invented", lambda run: run.states.append(row("ghost", "consumed"))),
    "an event without an end": ("no final state", lambda run: set_row(run, 3, state="delivered")),
    "an event that stays held": ("no final state", lambda run: set_row(run, 3, state="held")),
    "a state without a reason": ("no reason", lambda run: set_row(run, 2, reason="")),
    "a state that the intent forbids": ("wrong state", lambda run: set_row(run, 1, state="recorded")),
    "a well-formed event is rejected": ("wrong state", lambda run: set_row(run, 2, state="rejected")),
    "a conflict of an event with itself": ("wrong state", lambda run: run.states.append(row("yes", "conflict", digest="yes-2"))),
    "another content under a used name vanishes": (
        "lost",
        lambda run: run.sent.append(sent("yes", "reject", content="2", digest="2")),
    ),
    "the case is not there": ("lost case", lambda run: run.cases.clear()),
    "a second case for one key": (
        "opened twice",
        lambda run: run.cases.append(replace(run.cases[0], case="purchase_order-PO-1-2-abcdef", generation=2)),
    ),
    "two events opened one case": (
        "opened twice",
        lambda run: (run.sent.append(sent("again", "open")), run.states.append(row("again", "started"))),
    ),
    "an event is used by another key's case": ("wrong case", lambda run: run.sent.__setitem__(3, replace(run.sent[3], key="PO-2"))),
    "the case is open": ("case not ended", lambda run: set_case(run, outcome=None)),
    "completed without a payment": ("wrong outcome", lambda run: set_row(run, 3, state="unclaimed")),
    "approved by a rejection": ("wrong outcome", lambda run: (set_row(run, 1, state="refused"), set_row(run, 2, state="consumed"))),
    "approved by one where two must approve": ("wrong outcome", lambda run: set_case(run, approvals=2)),
    "one person fills two seats": ("used twice", fill_a_second_seat),
    "nobody was asked on a stage": (
        "lost publication",
        lambda run: (set_case(run, stages=["approval", "director"]), ask_on_a_stage(run, "approval")),
    ),
    "two payments used": ("used twice", lambda run: set_row(run, 4, state="consumed")),
    "one event used by two cases": ("used twice", lambda run: run.uses.append(Use("another", "/test", "yes"))),
    "decided by nobody who was asked": ("wrong outcome", lambda run: set_case(run, decided_by="mallory")),
    "a decision after the deadline": ("wrong outcome", lambda run: set_case(run, due_at=5.0)),
    "a time-out though a decision was there": ("wrong outcome", time_out),
    "the order was never placed": ("lost effect", lambda run: run.effects.clear()),
    "the order was placed twice": (
        "effect twice",
        lambda run: run.effects.append(Effect(f"{CASE}/place_order/1", "orders.placed", "PO-1")),
    ),
    "a paid order was cancelled": (
        "wrong effect",
        lambda run: run.effects.append(Effect(f"{CASE}/cancel_order/0", "orders.cancelled", "PO-1")),
    ),
    "an effect without a case": (
        "wrong effect",
        lambda run: run.effects.append(Effect("ghost/place_order/0", "orders.placed", "PO-9")),
    ),
    "no outcome was published": ("lost publication", lambda run: run.published.pop(2)),
    "another outcome was published": (
        "wrong publication",
        lambda run: run.published.__setitem__(2, replace(run.published[2], data={"outcome": "rejected"})),
    ),
    "the outcome under two ids": ("published twice", lambda run: run.published.append(replace(run.published[2], id="other"))),
    "two contents under one id": ("id used twice", lambda run: run.published.append(replace(run.published[1], data={"amount": "1"}))),
    "no payment was asked for": ("lost publication", lambda run: run.published.pop(1)),
    "no dead letter": ("lost dead letter", lambda run: run.dead_letters.pop(1)),
    "no dead letter for malformed bytes": ("lost dead letter", lambda run: run.dead_letters.pop(2)),
    "two dead letters": ("dead-lettered twice", lambda run: run.dead_letters.append(replace(run.dead_letters[1], id="dead:5b"))),
    "a dead letter of a used payment": (
        "wrong publication",
        lambda run: run.dead_letters.append(DeadLetter("dead:4", "/test", "pay", "t", "pay", "late", "because")),
    ),
    "refunded and used": ("money twice", lambda run: run.late_replies.append(LateReply("refund:4", "refund", "/test", "pay"))),
    "the right payment is refused": ("money kept", lambda run: set_row(run, 4, state="refused")),
    "refunded and refused": ("money twice", refund_a_refused_payment),
    "refunded, without a dead letter": ("lost dead letter", refund_without_a_dead_letter),
    "refunded twice": (
        "replied twice",
        lambda run: run.late_replies.extend(LateReply(f"refund:{number}", "refund", "/test", "pay-2") for number in (1, 2)),
    ),
}


def test_a_run_in_which_all_is_well_has_no_findings() -> None:
    assert check(paid_order()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_found(name: str) -> None:
    rule, break_it = BROKEN[name]
    run = paid_order()
    break_it(run)
    findings = check(run)
    assert rule in {finding.rule for finding in findings}, findings


def test_a_time_out_is_fine_when_nobody_decided() -> None:
    run = paid_order()
    time_out(run)
    run.sent[1] = replace(run.sent[1], accepted_at=101.0)
    run.sent[2] = replace(run.sent[2], accepted_at=None)
    assert check(run) == []


def test_a_refund_beside_the_dead_letter_of_a_late_payment_is_fine() -> None:
    run = paid_order()
    run.late_replies.append(LateReply("refund:5", "refund", "/test", "pay-2"))
    assert check(run) == []


def test_what_was_not_accepted_may_be_missing() -> None:
    run = paid_order()
    run.sent.append(sent("never", "pay", accepted=False))
    assert check(run) == []


def test_the_same_words_in_other_bytes_are_one_event_and_other_words_a_conflict() -> None:
    run = paid_order()
    run.sent.append(sent("pay", "pay", digest="pay-other-bytes"))
    run.sent.append(sent("pay", "pay", digest="pay-other-words", content="other"))
    run.states.append(row("pay", "conflict", None, digest="pay-other-words"))
    run.dead_letters.append(DeadLetter("dead:8", "/test", "pay", "t", "pay-other-words", "conflict", "because"))
    assert check(run) == []


def test_what_was_agreed_is_no_finding() -> None:
    run = paid_order()
    set_row(run, 4, state="held")
    run.dead_letters.pop(1)
    assert check(run, Terms(may_stay_held=True)) == []


def test_records_survive_being_written_and_read() -> None:
    run = paid_order()
    run.late_replies.append(LateReply("refund:5", "refund", "/test", "pay-2"))
    assert read_lines(write_lines(run)) == run
