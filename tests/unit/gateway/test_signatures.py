"""Signatures of webhooks: what the providers' own libraries sign holds, and nothing else does."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier
from webhook_senders import SECRETS, SENDERS, SIGNING, TIMED, Headers

from sayso.webhook_sources import HmacOptions
from sayso_gateway.bridge.signatures import SCHEMES, ForgedError, Received, Verifier, any_hmac

NOW = 1_764_000_000.0
BODY = b'{"id": "evt_1", "amount": 1250.10}'
SIGNATURE_HEADERS = {
    "standard-webhooks": "webhook-signature",
    "stripe": "stripe-signature",
    "github": "x-hub-signature-256",
    "slack": "x-slack-signature",
    "hmac": "x-signature",
}
OPTIONS = HmacOptions(prefix="v1=", timestamp_header="X-Time", signed="{timestamp}.{body}")


def verifier(scheme: str, secrets: Sequence[str]) -> Verifier:
    return any_hmac(secrets, OPTIONS) if scheme == "hmac" else SCHEMES[scheme](secrets)


def holds(scheme: str, headers: Headers, body: bytes = BODY, secrets: Sequence[str] | None = None, at: float = NOW) -> bool:
    try:
        verifier(scheme, secrets or SECRETS[scheme][:1])(Received(headers, body, at))
    except ForgedError:
        return False
    return True


def sent(scheme: str, *, secret: int = 0, at: float = NOW, body: bytes = BODY) -> Headers:
    return SENDERS[scheme](SECRETS[scheme][secret], body, at)


@pytest.mark.parametrize("scheme", SENDERS)
def test_what_the_sender_signs_holds(scheme: str) -> None:
    assert holds(scheme, sent(scheme))


@pytest.mark.parametrize("scheme", SIGNING)
def test_each_changed_byte_of_the_body_is_noticed(scheme: str) -> None:
    headers = sent(scheme)
    for position in range(len(BODY)):
        for bit in (1, 128):
            changed = bytes([*BODY[:position], BODY[position] ^ bit, *BODY[position + 1 :]])
            assert not holds(scheme, headers, changed)
    assert not holds(scheme, headers, BODY + b" ")
    assert not holds(scheme, headers, BODY[:-1])


@pytest.mark.parametrize("scheme", SIGNING)
def test_a_signature_that_is_missing_cut_or_of_another_version_does_not_hold(scheme: str) -> None:
    headers, name = sent(scheme), SIGNATURE_HEADERS[scheme]
    whole = headers[name]
    assert not holds(scheme, {key: value for key, value in headers.items() if key != name})
    for end in range(len(whole)):
        assert not holds(scheme, {**headers, name: whole[:end]}), whole[:end]
    for old, new in (("v1", "v9"), ("v0", "v1"), ("sha256", "sha1")):
        if old in whole:
            assert not holds(scheme, {**headers, name: whole.replace(old, new)})


@pytest.mark.parametrize("scheme", TIMED)
@pytest.mark.parametrize("seconds", [-301, -300, -299, 0, 299, 300, 301])
def test_a_message_may_be_300_seconds_old_or_ahead_and_no_more(scheme: str, seconds: int) -> None:
    assert holds(scheme, sent(scheme, at=NOW + seconds)) is (abs(seconds) <= 300)


@pytest.mark.parametrize("scheme", TIMED)
def test_the_time_is_part_of_what_is_signed(scheme: str) -> None:
    headers = {name: value.replace(str(int(NOW)), str(int(NOW) + 1)) for name, value in sent(scheme).items()}
    assert not holds(scheme, headers)


@pytest.mark.parametrize("scheme", ["standard-webhooks", "stripe"])
@pytest.mark.parametrize("bad", ["v1,", "v1", ",", "v1,%%%", "v1a,c2lnbmF0dXJl", "=", "v1=zz", "\xff", "v1,=\x00"])
def test_a_malformed_signature_before_a_good_one_changes_nothing(scheme: str, bad: str) -> None:
    headers, name = sent(scheme), SIGNATURE_HEADERS[scheme]
    between = " " if scheme == "standard-webhooks" else ","
    if scheme == "stripe":
        bad = bad.replace(",", "")
    assert holds(scheme, {**headers, name: f"{bad}{between}{headers[name]}"})
    assert not holds(scheme, {**headers, name: bad})


@pytest.mark.parametrize("scheme", SENDERS)
def test_during_a_rotation_both_secrets_hold_and_afterwards_only_the_new_one(scheme: str) -> None:
    both = SECRETS[scheme]
    for secret in (0, 1):
        assert holds(scheme, sent(scheme, secret=secret), secrets=both)
    assert not holds(scheme, sent(scheme, secret=0), secrets=both[1:])
    assert holds(scheme, sent(scheme, secret=1), secrets=both[1:])


@pytest.mark.parametrize("scheme", SENDERS)
def test_another_providers_signature_does_not_hold(scheme: str) -> None:
    for other in SENDERS:
        if other != scheme:
            assert not holds(scheme, SENDERS[other](SECRETS[other][0], BODY, NOW))


@pytest.mark.parametrize("scheme", SIGNING)
def test_a_signature_header_that_came_twice_does_not_hold(scheme: str) -> None:
    headers = sent(scheme)
    with pytest.raises(ForgedError, match="more than once"):
        verifier(scheme, SECRETS[scheme][:1])(Received(headers, BODY, NOW, {SIGNATURE_HEADERS[scheme]}))


@given(st.dictionaries(st.sampled_from([*SIGNATURE_HEADERS.values(), "webhook-id", "webhook-timestamp", "authorization"]), st.text()))
def test_no_header_whatever_is_in_it_raises_anything_else(headers: dict[str, str]) -> None:
    for scheme in SENDERS:
        assert not holds(scheme, headers, b"\xff\xfe")
        for name, value in sent(scheme).items():
            holds(scheme, {**sent(scheme), **headers, name: value})


def test_the_vendors_published_vectors_hold() -> None:
    """GitHub: docs.github.com, "Validating webhook deliveries". Standard Webhooks: the test vector of its specification's libraries.
    Slack: docs.slack.dev, "Verifying requests from Slack".
    """
    github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert holds("github", {"x-hub-signature-256": github}, b"Hello, World!")
    standard = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert holds("standard-webhooks", standard, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], 1_614_265_330)
    slack = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    assert holds("slack", slack, body, ["8f742231b10e8888abcd99yyyzzz85a5"], 1_531_420_618)


def test_ours_and_the_providers_own_verifiers_agree() -> None:
    headers = sent("stripe")
    stripe.WebhookSignature.verify_header(BODY, headers["stripe-signature"], SECRETS["stripe"][0])

    class Clock:
        def now(self) -> float:
            return NOW

    slack = SignatureVerifier(SECRETS["slack"][0], Clock())  # type: ignore[arg-type] # has what is used
    assert slack.is_valid_request(BODY, sent("slack"))


def test_hmac_signatures_may_be_written_in_base64_and_made_with_another_hash() -> None:
    options = HmacOptions(header="X-Sign", algorithm="sha512", encoding="base64")
    import hmac

    signature = base64.b64encode(hmac.digest(b"secret", BODY, "sha512")).decode()
    any_hmac(["secret"], options)(Received({"x-sign": signature}, BODY, NOW))
    with pytest.raises(ForgedError):
        any_hmac(["secret"], options)(Received({"x-sign": signature}, BODY + b".", NOW))
