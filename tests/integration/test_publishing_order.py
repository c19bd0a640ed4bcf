"""What Sayso publishes of one key reaches the broker in order: daprd itself publishes the entries of a call side by side on Redis."""

from __future__ import annotations

import json

import pytest
from running_system import RunningSystem
from shop_events import fresh

from sayso.publisher import Message
from sayso.settings import Settings
from sayso.stack_address import StackAddress

pytestmark = pytest.mark.stack
TOPIC, TYPE = "alerts", "org.example.numbered.v1"
KEYS, EVENTS_OF_A_KEY = 3, 24


def test_events_of_one_key_are_on_the_topic_in_the_order_in_which_they_were_given(system: RunningSystem) -> None:
    keys = [fresh("ordered") for _ in range(KEYS)]
    given = [(key, number) for number in range(EVENTS_OF_A_KEY) for key in keys]
    messages = [Message(reference, key, _numbered(key, number)) for reference, (key, number) in enumerate(given)]
    state = system.state
    publisher = StackAddress(
        Settings(), state, state.ledger_url, ("127.0.0.1", state.dapr_grpc_port, state.dapr_http_port)
    ).publisher()
    try:
        assert publisher.publish(TOPIC, messages) == {}
    finally:
        publisher.close()
    carried = [one for one in system.messages(TOPIC) if one["type"] == TYPE]
    for key in keys:
        assert [one["data"]["number"] for one in carried if one["data"]["key"] == key] == list(range(EVENTS_OF_A_KEY))


def _numbered(key: str, number: int) -> bytes:
    event = {
        "specversion": "1.0",
        "id": f"{key}-{number}",
        "source": "/test",
        "type": TYPE,
        "datacontenttype": "application/json",
        "data": {"key": key, "number": number},
    }
    return json.dumps(event).encode()
