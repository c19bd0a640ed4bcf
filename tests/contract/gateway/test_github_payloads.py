"""Every payload that GitHub publishes, signed as GitHub signs, is taken; and none of them is once a byte of it is changed."""

from __future__ import annotations

import json
import lzma
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from gateway_server import Gateway, gateway_with
from webhook_senders import githubs

from sayso_gateway.bridge import routes

DATA = Path(__file__).parent / "data" / "github-webhooks.json.xz"
SECRET = "It's a Secret to Everybody"
WEBHOOKS = """
webhooks:
  github:
    scheme: github
    secrets: [{env: GITHUB_SECRET}]
    topic: payments
    events:
      - type: com.acme.payment.authorized.v1
        key: headers["x-github-delivery"]
        data: {event: 'headers["x-github-event"]', payload: body}
"""


@cache
def payloads() -> tuple[tuple[str, bytes], ...]:
    """Event name and payload, each once."""
    published = json.loads(lzma.decompress(DATA.read_bytes()))
    found = {
        (kind["name"], json.dumps(example, ensure_ascii=False).encode())
        for kinds in published.values()
        for kind in kinds
        for example in kind["examples"]
    }
    return tuple(sorted(found))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_SECRET", SECRET)
        patch.setattr(routes, "FORGED_A_SECOND", 10_000)  # each is to be refused for what it is, not for how many there are
        with gateway_with(WEBHOOKS, tmp_path_factory.mktemp("config")) as running:
            yield running


def test_all_of_them_are_taken_and_arrive_as_they_were_sent(gateway: Gateway) -> None:
    assert len(payloads()) > 300
    for number, (name, body) in enumerate(payloads()):
        headers = {**githubs(SECRET, body, time.time()), "x-github-event": name, "x-github-delivery": f"delivery-{number}"}
        answer = gateway.post("/webhooks/github", body, {"content-type": "application/json", **headers})
        assert answer.status_code == 202, f"{name}: {answer.text}"
    arrived = gateway.broker.on("payments")
    assert [event["id"] for event in arrived] == [f"delivery-{number}" for number in range(len(payloads()))]
    for (name, body), event in zip(payloads(), arrived, strict=True):
        assert event["data"] == {"event": name, "payload": json.loads(body)}


def test_none_of_them_is_taken_once_a_byte_of_it_is_changed(gateway: Gateway) -> None:
    before = len(gateway.broker.published)
    for number, (_, body) in enumerate(payloads()):
        headers = githubs(SECRET, body, time.time())
        place = number * 7919 % len(body)
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert gateway.post("/webhooks/github", changed, headers).status_code == 401
    assert len(gateway.broker.published) == before
