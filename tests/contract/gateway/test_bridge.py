"""The bridge over real HTTP: signed webhooks become events on topics, once each, and nothing else passes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_server import Gateway, gateway_with
from webhook_senders import SECRETS, SENDERS

WEBHOOKS = """
webhooks:
  standard-webhooks: &all
    scheme: standard-webhooks
    secrets: [{env: SECRET_STANDARD_WEBHOOKS}]
    topic: payments
    events:
      - when: has(body.paid)
        type: com.acme.payment.captured.v1
        key: body.order
        data: {order_id: body.order, amount: body.paid, currency: "'EUR'"}
      - when: has(body.failed)
        type: com.acme.payment.failed.v1
        key: body.order
        data: {order_id: body.order, reason: "'declined: ' + body.failed"}
  stripe: {<<: *all, scheme: stripe, secrets: [{env: SECRET_STRIPE}]}
  github: {<<: *all, scheme: github, secrets: [{env: SECRET_GITHUB}]}
  slack: {<<: *all, scheme: slack, secrets: [{env: SECRET_SLACK}]}
  hmac:
    <<: *all
    scheme: hmac
    secrets: [{env: SECRET_HMAC}]
    id: string(body.id)
    hmac: {prefix: "v1=", timestamp_header: X-Time, signed: "{timestamp}.{body}"}
  basic: {<<: *all, scheme: basic, secrets: [{env: SECRET_BASIC}]}
  bearer: {<<: *all, scheme: bearer, secrets: [{env: SECRET_BEARER}], allowed_origins: [events.example.com]}
  flooded: {<<: *all, scheme: bearer, secrets: [{env: SECRET_BEARER}], a_second: 2}
"""
PAID = b'{"id": "evt_1", "event_id": "Ev1", "order": "PO-1", "paid": 1250.10}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        for scheme, (secret, _) in SECRETS.items():
            patch.setenv(f"SECRET_{scheme.upper().replace('-', '_')}", secret)
        with gateway_with(WEBHOOKS, folder, body_bytes_max=4096, waiting_max=20, publish_timeout="PT1S") as running:
            yield running


@pytest.fixture(autouse=True)
def nothing_before(gateway: Gateway) -> None:
    gateway.broker.published.clear()


def send(gateway: Gateway, scheme: str, body: bytes = PAID, **headers: str) -> int:
    signed = SENDERS[scheme](SECRETS[scheme][0], body, time.time())
    return gateway.post(f"/webhooks/{scheme}", body, {"content-type": "application/json", **signed, **headers}).status_code


@pytest.mark.parametrize("scheme", SENDERS)
def test_a_webhook_of_every_scheme_becomes_one_event_with_the_providers_id(gateway: Gateway, scheme: str) -> None:
    assert send(gateway, scheme) == 202
    ((topic, key, event),) = gateway.broker.published
    assert (topic, key, event["type"], event["source"]) == (
        "payments",
        "PO-1",
        "com.acme.payment.captured.v1",
        f"/webhooks/{scheme}",
    )
    assert event["data"] == {"order_id": "PO-1", "amount": 1250.1, "currency": "EUR"}
    ids = {"standard-webhooks": "msg_1", "stripe": "evt_1", "github": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "slack": "Ev1"}
    assert event["id"] == ids.get(scheme, "evt_1" if scheme == "hmac" else event["id"])


@pytest.mark.parametrize("scheme", SENDERS)
def test_a_resend_has_the_same_id_and_says_the_same(gateway: Gateway, scheme: str) -> None:
    for _ in range(2):
        assert send(gateway, scheme) == 202
    one, other = (event for _, _, event in gateway.broker.published)
    assert {name: value for name, value in one.items() if name != "time"} == {
        name: value for name, value in other.items() if name != "time"
    }


def test_a_source_a_type_and_an_id_that_the_body_claims_are_not_believed(gateway: Gateway) -> None:
    body = (
        b'{"id": "evt_1", "order": "PO-1", "paid": 1, "source": "/sayso", "type": "sayso.approval.decided.v1", "specversion": "1.0"}'
    )
    assert send(gateway, "bearer", body, **{"ce-source": "/sayso", "ce-id": "x", "ce-type": "sayso.approval.decided.v1"}) == 202
    (event,) = gateway.broker.on("payments")
    assert (event["source"], event["type"]) == ("/webhooks/bearer", "com.acme.payment.captured.v1")
    assert event["id"] not in ("x", "evt_1")


def test_numbers_stay_as_they_were_sent(gateway: Gateway) -> None:
    assert send(gateway, "stripe", b'{"id": "evt_2", "order": "PO-1", "paid": 9007199254740993.10}') == 202
    assert gateway.broker.bodies[-1].count(b'"amount":9007199254740993.10') == 1


def test_the_first_rule_whose_condition_is_true_counts_and_what_none_takes_is_ignored(gateway: Gateway) -> None:
    assert send(gateway, "stripe", b'{"id": "evt_3", "order": "PO-1", "failed": "no funds"}') == 202
    (event,) = gateway.broker.on("payments")
    assert (event["type"], event["data"]["reason"]) == ("com.acme.payment.failed.v1", "declined: no funds")
    answer = gateway.post("/webhooks/stripe", b"{}", SENDERS["stripe"](SECRETS["stripe"][0], b"{}", time.time()))
    assert (answer.status_code, answer.json()["status"]) == (202, "ignored")
    assert len(gateway.broker.published) == 1


def test_an_unsigned_webhook_is_refused_and_nothing_is_published(gateway: Gateway) -> None:
    for scheme in SENDERS:
        answer = gateway.post(f"/webhooks/{scheme}", PAID, {"content-type": "application/json"})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        signed = SENDERS[scheme](SECRETS[scheme][1], PAID, time.time())
        assert gateway.post(f"/webhooks/{scheme}", PAID, signed).status_code == 401
    assert gateway.post("/webhooks/unknown", PAID).status_code == 404
    assert not gateway.broker.published


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"[1]", "must be a JSON object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 3000, "levels deep"),
        (b'{"id": "evt_1", "paid": 1}', "order"),
        (b'{"order": "PO-1", "paid": 1}', "no id"),
        (b'{"id": true, "order": "PO-1", "paid": 1}', "no id"),
        (b'{"id": "evt_1", "order": 12.5, "paid": 1}', "key"),
        (b'{"id": "\\u0000", "order": "PO-1", "paid": 1}', "NUL"),
    ],
)
def test_what_is_signed_and_cannot_be_understood_is_told_to_its_sender(gateway: Gateway, body: bytes, words: str) -> None:
    signed = {"stripe-signature": stripe_header(body)}
    answer = gateway.post("/webhooks/stripe", body, signed)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert not gateway.broker.published


def stripe_header(body: bytes) -> str:
    """As the library signs, over bytes that are no text too."""
    import hmac

    moment = str(int(time.time()))
    return f"t={moment},v1={hmac.digest(SECRETS['stripe'][0].encode(), f'{moment}.'.encode() + body, 'sha256').hex()}"


def test_a_form_is_read_too(gateway: Gateway) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert send(gateway, "slack", b"event_id=Ev2&order=PO-2&paid=7", **form) == 202
    assert send(gateway, "github", b"payload=%7B%22order%22%3A%22PO-3%22%2C%22paid%22%3A8%7D", **form) == 202
    assert [event["data"]["order_id"] for event in gateway.broker.on("payments")] == ["PO-2", "PO-3"]


def test_slacks_challenge_is_answered_when_it_is_signed(gateway: Gateway) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB"}).encode()
    answer = gateway.post("/webhooks/slack", body, SENDERS["slack"](SECRETS["slack"][0], body, time.time()))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "3eZbrw1aB"})
    assert gateway.post("/webhooks/slack", body).status_code == 401
    assert not gateway.broker.published


def test_an_origin_that_is_known_may_send_and_another_one_may_not(gateway: Gateway) -> None:
    asked = {
        "WebHook-Request-Origin": "events.example.com",
        "WebHook-Request-Rate": "60",
        "WebHook-Request-Callback": "http://169.254.169.254/",
    }
    answer = gateway.client.options("/webhooks/bearer", headers=asked)
    assert answer.status_code == 200
    assert (answer.headers["webhook-allowed-origin"], answer.headers["webhook-allowed-rate"]) == ("events.example.com", "60")
    for headers in ({**asked, "WebHook-Request-Origin": "evil.example.com"}, {}):
        refused = gateway.client.options("/webhooks/bearer", headers=headers)
        assert refused.status_code in (400, 403)
        assert "webhook-allowed-origin" not in refused.headers


def test_a_flood_is_answered_with_429_and_when_to_come_again(gateway: Gateway) -> None:
    answers = [gateway.post("/webhooks/flooded", PAID, {"authorization": "Bearer token-1"}) for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert len(gateway.broker.published) == 12 - len(refused)
    assert send(gateway, "stripe") == 202, "others go on"


def test_while_the_broker_is_away_every_sender_is_told_503_and_when_to_come_again(gateway: Gateway) -> None:
    gateway.broker.away = True
    try:
        signed = SENDERS["stripe"](SECRETS["stripe"][0], PAID, time.time())
        answer = gateway.post("/webhooks/stripe", PAID, signed)
    finally:
        gateway.broker.away = False
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the broker is away" not in answer.text
    assert send(gateway, "stripe") == 202


def test_a_broker_that_does_not_answer_is_no_broker_that_has_it(gateway: Gateway) -> None:
    gateway.broker.hold.clear()
    try:
        assert send(gateway, "stripe") == 503
    finally:
        gateway.broker.hold.set()
    assert send(gateway, "stripe") == 202


def test_a_header_that_came_twice_is_refused(gateway: Gateway) -> None:
    signed = SENDERS["stripe"](SECRETS["stripe"][0], PAID, time.time())
    twice = [("stripe-signature", "t=1,v1=00"), *signed.items()]
    assert gateway.client.post("/webhooks/stripe", content=PAID, headers=twice).status_code == 400
    own = [("x-signature", "v1=00"), *SENDERS["hmac"](SECRETS["hmac"][0], PAID, time.time()).items()]
    assert gateway.client.post("/webhooks/hmac", content=PAID, headers=own).status_code == 401
    assert not gateway.broker.published


def test_bodies_and_headers_have_limits(gateway: Gateway) -> None:
    assert send(gateway, "stripe", b" " * 4097) == 413
    assert gateway.client.post("/webhooks/stripe", content=iter([b" " * 4096, b"  "])).status_code == 413
    assert gateway.post("/webhooks/stripe", b"", {"x-long": "a" * 40_000}).status_code in (400, 431)
    assert gateway.client.post("/webhooks/stripe", headers=[(f"x-{n}", "1") for n in range(101)]).status_code == 431


def test_every_answer_says_that_it_is_no_page(gateway: Gateway) -> None:
    for answer in (gateway.post("/webhooks/stripe", PAID), gateway.client.get("/health"), gateway.client.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_under_another_name_it_does_not_answer(gateway: Gateway) -> None:
    for host in ("evil.example.com", "127.0.0.1", "localhost:1", ""):
        answer = gateway.client.post("/webhooks/stripe", content=PAID, headers={"host": host})
        assert answer.status_code in (400, 421)
        assert "evil" not in answer.text
