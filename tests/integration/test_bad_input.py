"""Bad input straight to the broker: a visible state, a reason that a person understands, one dead letter; the topic goes on."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from bad_messages import REJECTED, UNMATCHED, with_fields
from confluent_kafka import KafkaException
from running_system import DEADLINE_SECONDS, RunningSystem
from shop_events import encoded, event, fresh, payment, purchase
from sqlalchemy import Row, select
from waiting import eventually

from sayso.contracts.dead_letter import ORIGINAL_BYTES_MAX
from sayso.ledger.schema import outbox

pytestmark = pytest.mark.stack
LANE = "bad-input"
"""The same Kafka key for all: what is sent behind a bad message stands behind it in the same partition."""

RETRY_SECONDS = 3.0
"""Longer than daprd's pause between two deliveries (0.5 s) and than the dispatcher's between two attempts."""


def sent_with_a_healthy_one_behind(system: RunningSystem, body: bytes) -> Row[Any]:
    """The row of a bad message on `purchases`, after a purchase that was sent behind it has been handled."""
    healthy = purchase(fresh("PO"))
    system.broker.send("purchases", body, LANE)
    system.broker.send("purchases", encoded(healthy), LANE)
    system.settled(healthy, "started")
    return at_rest(system, "purchases", body)


def at_rest(system: RunningSystem, topic: str, body: bytes) -> Row[Any]:
    """The row of exactly these bytes, once it has been routed."""

    def rested() -> Row[Any] | None:
        rows = system.rows_of_bytes(topic, body)
        return rows[0] if rows and rows[0].state != "received" else None

    return eventually(rested, DEADLINE_SECONDS, f"{body[:40]!r} on {topic} came to rest")


def dead_letter_of(system: RunningSystem, row: Row[Any]) -> dict[str, Any]:
    """Its one dead letter, from the topic."""
    (letter,) = eventually(lambda: system.dead_letters(seq=row.seq), DEADLINE_SECONDS, f"a dead letter of {row.reason}")
    return letter


def letters_of(system: RunningSystem) -> list[str]:
    """The ids of all dead letters on the topic."""
    return [one["saysoletter"] for one in system.messages("deadletters")]


@pytest.mark.parametrize("label", REJECTED)
def test_what_cannot_be_understood_is_rejected_with_a_reason(system: RunningSystem, label: str) -> None:
    body, reason = REJECTED[label]
    row = sent_with_a_healthy_one_behind(system, body)
    assert (row.state, row.reason[: len(reason)]) == ("rejected", reason)
    letter = dead_letter_of(system, row)
    assert letter["saysoreason"] == row.reason.replace("\x07", " ")
    if letter["type"] == "sayso.event.dead.v1":
        assert letter["data"]["left_out"] if len(body) > ORIGINAL_BYTES_MAX else base64.b64decode(letter["data_base64"]) == body
    else:
        assert letter.get("data") == json.loads(body).get("data")


@pytest.mark.parametrize("label", UNMATCHED)
def test_what_no_binding_takes_is_unmatched_with_a_reason(system: RunningSystem, label: str) -> None:
    body, reason = UNMATCHED[label]
    row = sent_with_a_healthy_one_behind(system, body)
    assert (row.state, row.reason) == ("unmatched", reason)
    assert dead_letter_of(system, row)["saysoreason"] == reason


WITHOUT_BODY = {
    "valkey": (b"", "the message is empty"),
    "kafka": (b"null", "a CloudEvent is a JSON object, this is a JSON null"),
}
"""What daprd makes of an entry without a field `data`, and of a record whose value is null."""


def test_a_message_without_a_body_is_rejected_and_does_not_block_its_topic(system: RunningSystem) -> None:
    body, reason = WITHOUT_BODY[system.state.broker]
    system.broker.send_without_body("payments", LANE)
    row = at_rest(system, "payments", body)
    assert (row.state, row.reason) == ("rejected", reason)
    assert dead_letter_of(system, row)["saysoreason"] == reason
    behind = payment(fresh("PO"))
    system.broker.send("payments", encoded(behind), LANE)
    system.settled(behind, "held")


def test_two_megabytes_are_rejected_or_refused_by_the_broker_itself(system: RunningSystem) -> None:
    body = with_fields(product="x" * 2_000_000)
    if system.state.broker == "kafka":  # its sender knows at once
        with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
            system.broker.send("purchases", body, LANE)
        return
    row = sent_with_a_healthy_one_behind(system, body)
    assert (row.state, row.reason) == (
        "rejected",
        f"the event has {len(body)} bytes; at most 1048576 can start or wake a case: send what is large by reference",
    )
    letter = dead_letter_of(system, row)
    assert letter["data"] == {"left_out": f"the original has {len(body)} bytes, too many to be carried; the ledger has it"}
    assert bytes(row.original) == body


def test_a_recorded_event_is_kept_and_does_nothing(system: RunningSystem) -> None:
    sent = event("com.acme.payment.authorized.v1", {"anything": [1, 2.50, None]}, source="/payments")
    system.broker.send("payments", encoded(sent))
    row = system.settled(sent, "recorded")
    assert (row.reason, row.instance_id, bytes(row.original)) == ("kept, as payment-authorized says", None, encoded(sent))


def test_a_burst_of_large_bad_messages_does_not_stop_the_dead_letters(system: RunningSystem) -> None:
    """Together they are far more than one call to the sidecar may carry."""
    bodies = [f"{fresh('large')}: ".encode() + b"x" * 400_000 for _ in range(24)]
    for body in bodies:
        system.broker.send("approvals", body)
    rows = [at_rest(system, "approvals", body) for body in bodies]
    wanted = {f"dead:{row.seq}-{row.received_at_ms}:rejected:1" for row in rows}
    eventually(
        lambda: wanted <= {one["saysoletter"] for one in system.messages("deadletters")}, DEADLINE_SECONDS, "their dead letters", 0.5
    )


def test_nothing_bad_is_tried_again(system: RunningSystem) -> None:
    bodies = [f"{fresh('bad')}: {label}".encode() for label in REJECTED] + [encoded(event("com.acme.nobody.v1", {}))]
    for body in bodies:
        system.broker.send("tasks", body)
    before = [at_rest(system, "tasks", body) for body in bodies]
    assert {row.state for row in before} == {"rejected", "unmatched"}
    assert {(row.attempts, row.sightings, row.due_at_ms) for row in before} == {(0, 1, None)}
    letters = {f"dead:{row.seq}-{row.received_at_ms}:{row.state}:1" for row in before}
    eventually(
        lambda: letters <= {one["saysoletter"] for one in system.messages("deadletters")}, DEADLINE_SECONDS, "their dead letters"
    )

    newest = max(row.received_at_ms for row in before)
    eventually(
        lambda: system.ledger.read(lambda tx: tx.now_ms - newest > RETRY_SECONDS * 1000),
        DEADLINE_SECONDS,
        "time enough for daprd or the dispatcher to try again",
    )
    assert [at_rest(system, "tasks", body) for body in bodies] == before
    again = [one for one in letters_of(system) if one in letters]
    assert sorted(again) == sorted(letters)
    unpublished = select(outbox.c.topic, outbox.c.event_id, outbox.c.last_error).where(outbox.c.published_at_ms.is_(None))
    eventually(lambda: not system.ledger.read(lambda tx: tx.all(unpublished)), DEADLINE_SECONDS, "an empty outbox")


def test_a_payment_for_nobody_is_held_and_not_a_failure(system: RunningSystem) -> None:
    sent = payment(fresh("PO"))
    system.send(sent)
    row = system.settled(sent, "held")
    assert system.dead_letters(seq=row.seq) == []


def test_what_dapr_gives_up_is_taken_by_the_rules_of_its_own_topic(system: RunningSystem) -> None:
    """daprd puts a message that it cannot deliver on a topic of its own, as it came."""
    order = fresh("PO")
    given_up, nobodys = purchase(order), event("com.acme.nobody.v1", {})
    for one in (given_up, nobodys):
        system.broker.send("dapr-deadletters", encoded(one))
    system.broker.send("dapr-deadletters", b"not even an event")
    system.settled(given_up, "started")
    assert system.settled(nobodys, "unmatched").topic == "dapr-deadletters"
    assert at_rest(system, "dapr-deadletters", b"not even an event").state == "rejected"
    system.send(given_up)  # delivered after all
    eventually(lambda: [row.sightings for row in system.rows(given_up["id"])] == [2], DEADLINE_SECONDS, "two sightings of one row")
    assert len(system.cases(order)) == 1


def test_dapr_is_told_where_to_put_what_it_gives_up(system: RunningSystem) -> None:
    subscriptions = {one["topic"]: one.get("deadLetterTopic", "") for one in system.metadata()["subscriptions"]}
    assert subscriptions.pop("dapr-deadletters") == ""
    assert subscriptions
    assert set(subscriptions.values()) == {"dapr-deadletters"}
