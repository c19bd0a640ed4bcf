"""The partner's payment system tells others by itself: through a topic and a signed webhook, at least once, one id an event."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from partner_process import PartnerProcess, free_port
from webhook_receiver import Seen, WebhookReceiver, is_signed

from sayso.contracts.payments import PaymentCaptured, PaymentFailed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOPIC_PATH, HOOK_PATH = "/v1.0/publish/pubsub/payments", "/hooks/payments"
DEADLINE_SECONDS = 30.0
NUMBERS = count(1)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as running:
        yield running


@pytest.fixture
def partners(tmp_path: Path, receiver: WebhookReceiver) -> Iterator[PartnerProcess]:
    with PartnerProcess(tmp_path, **environment(receiver.url)) as process:
        yield process


@pytest.fixture
def order_id() -> str:
    return f"PO-{next(NUMBERS)}"


def environment(url: str) -> dict[str, str]:
    return {"DAPR_HTTP_ENDPOINT": url, "PARTNERS_WEBHOOK_URL": f"{url}{HOOK_PATH}", "PARTNERS_WEBHOOK_SECRET": SECRET}


def capture(order_id: str, **changed: Any) -> dict[str, Any]:
    return {"order_id": order_id, "amount": "1250.00", "currency": "USD"} | changed


def eventually(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def all_told(partners: PartnerProcess, order_id: str) -> list[dict[str, Any]]:
    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = partners.get("/announcements", subject=order_id).json()["announcements"]
        return found

    eventually(lambda: listed() and all(one["state"] == "told" for one in listed()), f"all of {order_id} is told: {listed()}")
    return listed()


def test_the_verification_of_this_test_is_that_of_the_standard() -> None:
    """Its own example."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert is_signed(SECRET, Seen("/", headers, b'{"test": 2432232314}', 204))
    assert not is_signed(SECRET, Seen("/", headers, b'{"test": 2432232315}', 204))


def test_a_captured_payment_is_told_once_through_topic_and_signed_webhook(
    partners: PartnerProcess, receiver: WebhookReceiver, order_id: str
) -> None:
    answer = partners.post("/captures", capture(order_id, workflow="order_saga"), key="paid-1")
    assert answer.json()["status"] == "captured"
    told = all_told(partners, order_id)
    assert sorted((one["channel"], one["attempts"]) for one in told) == [("topic", 1), ("webhook", 1)]
    by_path = {seen.path: seen for seen in receiver.seen}
    assert sorted(by_path) == [HOOK_PATH, TOPIC_PATH]
    assert is_signed(SECRET, by_path[HOOK_PATH])
    assert "webhook-signature" not in by_path[TOPIC_PATH].headers
    assert {seen.headers["content-type"] for seen in receiver.seen} == {"application/cloudevents+json"}
    (event,) = {seen.body for seen in receiver.seen}
    parsed = json.loads(event)
    assert (parsed["type"], parsed["id"]) == ("com.acme.payment.captured.v1", by_path[HOOK_PATH].headers["webhook-id"])
    payment = PaymentCaptured.model_validate(parsed["data"])
    assert (payment.order_id, f"{payment.amount:f}", payment.workflow) == (order_id, "1250.00", "order_saga")


def test_the_same_capture_again_is_no_second_event_and_another_one_is(
    partners: PartnerProcess, receiver: WebhookReceiver, order_id: str
) -> None:
    for _ in range(3):
        partners.post("/captures", capture(order_id), key="paid-1")
    partners.post("/captures", capture(order_id), key="paid-2")
    assert len(all_told(partners, order_id)) == 4
    assert len({seen.headers.get("webhook-id") for seen in receiver.seen if seen.path == HOOK_PATH}) == 2
    assert [(effect["key"], effect["calls"]) for effect in partners.effects(subject=order_id)] == [("paid-1", 3), ("paid-2", 1)]


def test_a_declined_payment_is_told_as_failed(partners: PartnerProcess, receiver: WebhookReceiver, order_id: str) -> None:
    partners.post("/captures", capture(order_id, declined="card declined"), key="paid-1")
    all_told(partners, order_id)
    event = json.loads(receiver.seen[0].body)
    assert event["type"] == "com.acme.payment.failed.v1"
    assert PaymentFailed.model_validate(event["data"]).reason == "card declined"


def test_a_receiver_that_says_no_hears_of_the_same_event_again(
    partners: PartnerProcess, receiver: WebhookReceiver, order_id: str
) -> None:
    receiver.answers = [500, 503, 429, 500]
    partners.post("/captures", capture(order_id), key="paid-1")
    assert sum(one["attempts"] for one in all_told(partners, order_id)) == 6
    assert len({json.loads(seen.body)["id"] for seen in receiver.seen}) == 1
    assert len([seen for seen in receiver.seen if seen.status == 204]) == 2


def test_what_was_not_told_before_a_kill_is_told_after_it(tmp_path: Path, order_id: str) -> None:
    port = free_port()
    with PartnerProcess(tmp_path, **environment(f"http://127.0.0.1:{port}")) as partners:
        partners.post("/captures", capture(order_id), key="paid-1")
        waiting = partners.get("/announcements", subject=order_id).json()["announcements"]
        assert [one["state"] for one in waiting] == ["waiting", "waiting"]
        partners.kill()
        with WebhookReceiver(port) as receiver:
            partners.start()
            all_told(partners, order_id)
            assert sorted(seen.path for seen in receiver.seen) == [HOOK_PATH, TOPIC_PATH]


def test_rules_make_an_announcement_fail_be_repeated_or_come_late(
    partners: PartnerProcess, receiver: WebhookReceiver, order_id: str
) -> None:
    rules = [
        {"resource": "announcements", "subject": order_id, "status": 503, "times": 2},
        {"resource": "announcements", "subject": f"{order_id}-twice", "status": 503, "after": True, "times": 2},
        {"resource": "announcements", "subject": f"{order_id}-late", "delay_ms": 200},
    ]
    assert partners.put("/faults", rules).json() == {"rules": 3}
    for number, each in enumerate((order_id, f"{order_id}-twice", f"{order_id}-late")):
        partners.post("/captures", capture(each), key=f"paid-{number}")
    assert sum(one["attempts"] for one in all_told(partners, order_id)) == 4
    assert sum(one["attempts"] for one in all_told(partners, f"{order_id}-twice")) == 4
    all_told(partners, f"{order_id}-late")
    heard = [json.loads(seen.body)["data"]["order_id"] for seen in receiver.seen]
    assert [heard.count(each) for each in (order_id, f"{order_id}-twice", f"{order_id}-late")] == [2, 4, 2]


def test_a_capture_that_fails_by_header_is_not_told_and_one_whose_answer_got_lost_is(partners: PartnerProcess, order_id: str) -> None:
    assert partners.post("/captures", capture(order_id), key="paid-1", X_Partner_Fail="503").status_code == 503
    assert partners.get("/announcements", subject=order_id).json() == {"announcements": []}
    assert partners.post("/captures", capture(order_id), key="paid-1", X_Partner_Fail_After="503").status_code == 503
    assert len(all_told(partners, order_id)) == 2


def test_the_books_show_what_was_captured(partners: PartnerProcess, order_id: str) -> None:
    partners.post("/captures", capture(order_id), key="paid-1")
    (line,) = partners.get("/books", subject=order_id).json()["books"]
    assert (line["resource"], line["status"], line["stands"]) == ("captures", "captured", True)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"])
def test_a_webhook_without_a_usable_secret_does_not_start(tmp_path: Path, secret: str) -> None:
    wrong = {"PARTNERS_WEBHOOK_URL": "http://127.0.0.1:1/", "PARTNERS_WEBHOOK_SECRET": secret}
    with pytest.raises(AssertionError, match="the service ended with 1"):
        PartnerProcess(tmp_path, **wrong).start()
