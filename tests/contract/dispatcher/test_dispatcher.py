"""The dispatcher: what came is routed, raised and published, whatever fails in between."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from office import SETTINGS, Office

from sayso.correlation.correlate import correlate
from sayso.ledger.driving import lease_jobs, settle
from sayso.ledger.intake import receive
from sayso.ledger.outbox import lease_outgoing
from sayso.ledger.schema import events, outbox
from sayso.ledger.states import FAILED
from sayso.settings import PurchaseSettings


def test_a_purchase_is_approved_placed_paid_and_its_outcome_published(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.broker.on("approval-requests"))
    office.decide()
    office.wait_until(lambda: office.broker.on("payment-commands"))
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    (case,) = office.cases
    (outcome,) = office.broker.on("outcomes")
    assert (outcome["id"], outcome["data"]["result"]) == (f"{case.instance_id}:closed", "Approved by 'bob'")
    assert outcome["data"]["milestones"] == ["approved", "placed", "paid"]
    assert office.broker.on("deadletters") == []
    ((key, (path, body)),) = office.partners.effects.items()
    assert (key, path, body["order_id"]) == (f"{case.instance_id}/place_order/0", "/orders", "PO-1")
    assert [call for call in office.engine.calls if call in ("start", "raise_event")] == ["start", "raise_event", "raise_event"]


def test_a_decision_and_a_payment_published_before_their_purchase_are_used_when_it_comes(office: Office) -> None:
    office.open()
    office.pay()
    office.decide()
    office.wait_until(lambda: office.states == ["held", "held"])
    office.buy()
    office.wait_for_outcomes("completed")
    assert office.states == ["consumed", "consumed", "started"]
    assert office.broker.on("deadletters") == []


def test_everything_that_came_before_the_dispatcher_was_there_is_taken_in_order(office: Office) -> None:
    office.buy()
    office.decide()
    office.pay()
    office.open()
    office.wait_for_outcomes("completed")


def test_an_engine_that_does_not_answer_is_asked_until_it_does(office: Office) -> None:
    office.engine.fail_next("start", 3)
    office.engine.fail_next("raise_event", 4)
    office.open()
    office.buy()
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.states == ["started", "consumed", "consumed"]
    assert office.engine.calls.count("start") == 4


def test_why_a_case_does_not_go_on_is_written_at_the_case(office: Office) -> None:
    office.engine.fail_next("start", 1_000)
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].last_error == "start: no answer")
    assert (office.cases[0].phase, office.cases[0].outcome) == ("starting", None)


def test_after_a_start_whose_answer_was_lost_the_state_is_asked_and_nothing_is_started_twice(office: Office) -> None:
    office.engine.fail_next("start", after=True)
    office.open()
    office.buy()
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    assert office.engine.calls.count("start") == 1
    assert office.engine.calls[:2] == ["start", "state"]


def test_a_start_whose_answer_was_lost_does_not_run_a_case_again_that_has_ended_meanwhile(office: Office) -> None:
    office.engine.fail_next("start", after=True)
    office.engine.fail_next("state", 2)
    office.open()
    office.buy(cost=5)
    office.wait_for_outcomes("auto_approved")
    office.buy("PO-2", cost=5)
    office.wait_for_outcomes("auto_approved", "auto_approved")
    assert office.engine.calls.count("start") == 2
    assert len(office.broker.on("outcomes")) == 2


def test_an_event_that_was_raised_twice_because_an_answer_was_lost_is_used_once(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    with office.real_engine.runs[office.cases[0].instance_id].busy():
        office.engine.fail_next("raise_event", 2, after=True)
        office.decide(approver="alice")
        office.wait_until(lambda: office.states == ["started", "delivered"])
    assert office.engine.calls.count("raise_event") == 3
    assert office.states == ["started", "refused"]
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")
    assert len(office.partners.effects) == 1
    office.wait_until(lambda: [letter["saysostate"] for letter in office.broker.on("deadletters")] == ["refused"])


def test_an_unexpected_error_of_an_engine_call_is_kept_and_tried_again(office: Office) -> None:
    office.engine.fail_next("start", error=ValueError("a bug"))
    office.open()
    office.buy(cost=5)
    office.wait_for_outcomes("auto_approved")
    assert office.cases[0].last_error is None


def test_messages_that_the_broker_refused_are_published_later_under_the_same_id(office: Office) -> None:
    office.publisher.refuse_next(30)
    for number in range(20):
        office.buy(f"PO-{number}", cost=5)
    office.open()
    office.wait_for_outcomes(*["auto_approved"] * 20)
    ids = [event["id"] for event in office.broker.on("outcomes")]
    assert sorted(ids) == sorted(f"{case.instance_id}:closed" for case in office.cases)
    assert {row.last_error for row in office.rows(outbox)} <= {None, "the broker refused it"}


@pytest.mark.parametrize("error", [None, ValueError("a bug")])
def test_a_broker_that_does_not_answer_delays_and_loses_nothing(office: Office, error: Exception | None) -> None:
    office.publisher.fail_next("publish", 5, error=error)
    office.buy(cost=5)
    office.open()
    office.wait_for_outcomes("auto_approved")
    assert len(office.broker.on("outcomes")) == 1


def test_a_publish_whose_answer_was_lost_is_made_again_with_the_same_event(office: Office) -> None:
    office.publisher.fail_next("publish", after=True)
    office.buy(cost=5)
    office.open()
    office.wait_until(lambda: len(office.broker.on("outcomes")) == 2)
    first, second = office.broker.on("outcomes")
    assert first == second
    office.wait_until(lambda: office.rows(outbox)[0].published_at_ms)


def test_events_of_one_topic_are_published_in_ledger_order(office: Office) -> None:
    for number in range(150):
        office.receive_bytes("purchases", b"nonsense %d" % number)
    office.open()
    office.wait_until(lambda: len(office.broker.on("deadletters")) == 150)
    seqs = [event["saysoseq"] for event in office.broker.on("deadletters")]
    assert seqs == sorted(seqs)


def test_many_large_dead_letters_do_not_keep_each_other_from_being_published(office: Office) -> None:
    for number in range(30):
        office.receive_bytes("purchases", b"%d" % number + b"\xff" * 300_000)
    office.open()
    office.wait_until(lambda: len(office.broker.on("deadletters")) == 30)


def test_bad_messages_first_and_the_healthy_ones_behind_them_go_on(office: Office) -> None:
    for original in (b"", b"\xff", b"[" * 100_000, b'{"id": 1}', b"{" * 90, b'{"a":' * 5_000 + b"1" + b"}" * 5_000):
        office.receive_bytes("purchases", original)
    office.buy(cost=5)
    office.open()
    office.wait_for_outcomes("auto_approved")
    assert office.states == ["rejected"] * 6 + ["started"]
    assert all(row.reason for row in office.rows(events))


def test_a_bug_in_correlation_keeps_the_event_says_so_and_blocks_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(bindings: Any, topic: str, original: bytes) -> Any:
        if b"PO-BAD" in original:
            raise RecursionError("a bug")
        return correlate(bindings, topic, original)

    monkeypatch.setattr("sayso_subscribers.route.correlate", broken)
    office.buy("PO-BAD")
    office.buy("PO-1", cost=5)
    office.open()
    office.wait_for_outcomes("auto_approved")
    said = "internal error, will be tried again: RecursionError: a bug"
    office.wait_until(lambda: office.rows(events)[0].reason == said)
    assert office.states == ["received", "started"]


def test_nobody_decides_and_the_order_is_cancelled(office: Office) -> None:
    purchase = PurchaseSettings(approval_timeout=timedelta(seconds=2))
    office.open(settings=SETTINGS.model_copy(update={"purchase": purchase}))
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")

    def times_out() -> bool:
        office.real_engine.advance(timedelta(seconds=1))
        return office.outcomes == ["timed_out"]

    office.wait_until(times_out)
    office.wait_for_outcomes("timed_out")
    office.decide()
    office.wait_until(lambda: office.states == ["started", "late"])
    office.wait_until(lambda: office.broker.on("deadletters"))


def test_an_engine_whose_clock_runs_ahead_does_not_end_a_case_before_its_time(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    office.real_engine.advance(timedelta(hours=24, minutes=1))
    assert office.cases[0].phase == "running"
    office.decide()
    office.pay()
    office.wait_for_outcomes("completed")


def test_a_decision_that_is_in_the_ledger_in_time_counts_although_the_timer_fires_first(office: Office) -> None:
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    office.engine.fail_next("raise_event", 5)
    office.decide()
    office.real_engine.advance(timedelta(hours=24, seconds=2))
    office.wait_until(lambda: office.states[1:] == ["consumed"])
    office.pay()
    office.wait_for_outcomes("completed")


def test_what_a_dispatcher_had_leased_when_it_died_is_done_by_the_next(office: Office) -> None:
    office.buy()
    office.open()
    office.wait_until(lambda: office.broker.on("approval-requests"))
    office.close()
    office.decide()
    office.ledger.transact(partial(receive, topic="purchases", original=b"nonsense"))
    dead = partial(lease_jobs, lease_ms=300, limit=10)
    office.ledger.transact(dead)
    office.ledger.transact(partial(lease_outgoing, lease_ms=300, limit=10))
    office.open()
    office.wait_until(lambda: office.broker.on("deadletters"))
    office.pay()
    office.wait_for_outcomes("completed")


def test_fifty_cases_in_any_order_on_two_replicas_all_end_once(office: Office) -> None:
    keys = [f"PO-{number}" for number in range(50)]
    office.open(replicas=2)
    for key in keys:
        for what in (office.pay, office.buy, office.decide) if hash(key) % 2 else (office.decide, office.pay, office.buy):
            what(key)
    office.wait_for_outcomes(*["completed"] * 50)
    assert sorted(office.states) == ["consumed"] * 100 + ["started"] * 50
    assert office.engine.calls.count("start") == 50
    assert len(office.partners.effects) == 50
    assert sorted(event["data"]["key"] for event in office.broker.on("outcomes")) == sorted(keys)
    assert office.broker.on("deadletters") == []


def test_every_event_has_its_end_and_every_failed_one_its_dead_letter(office: Office) -> None:
    office.open()
    office.partners.refusal = "Sold out"
    office.buy()
    office.buy()
    office.wait_until(lambda: office.states == ["started", "refused"])
    office.decide(approver="alice")
    office.decide(approved=False)
    office.wait_for_outcomes("rejected")
    office.pay()
    office.receive("payments", "com.acme.unknown.v1", {})
    office.wait_until(lambda: office.states == ["started", "refused", "refused", "consumed", "late", "unmatched"])
    failed = [row for row in office.rows(events) if row.state in FAILED]
    office.wait_until(lambda: len(office.broker.on("deadletters")) == len(failed))
    assert [event["saysoreason"] for event in office.broker.on("deadletters")] == [row.reason for row in failed]
    assert "cancelling was refused: Sold out" in office.cases[0].reason


def test_an_unexpected_error_of_recording_is_logged_and_the_lease_runs_out(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def settle_later(*arguments: Any, **named: Any) -> bool:
        if named["job"].attempts == 1:  # however often the group that it is committed with is tried
            raise ValueError("a bug")
        return settle(*arguments, **named)

    said: list[tuple[str, str]] = []
    log = SimpleNamespace(exception=lambda event, **named: said.append((event, named["instance_id"])), warning=lambda *_, **__: None)
    monkeypatch.setattr("sayso_subscribers.drive.settle", settle_later)
    monkeypatch.setattr("sayso_subscribers.drive.log", log)  # structlog may have kept the one of an earlier test
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running" and said)
    assert said == [("not recorded, will be driven again", office.instance_id)]
