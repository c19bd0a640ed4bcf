from typing import Any

import pytest

from sayso.stack.sidecar import missing_in

TOPICS = frozenset({"purchases", "payments"})
READY: dict[str, Any] = {
    "subscriptions": [{"pubsubname": "pubsub", "topic": "purchases"}, {"pubsubname": "pubsub", "topic": "payments"}],
    "scheduler": {"connected_addresses": ["127.0.0.1:50006"]},
    "actorRuntime": {"hostReady": True},
}


def test_a_sidecar_with_everything_connected_is_ready() -> None:
    assert missing_in(READY, TOPICS) == ""


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"subscriptions": None}, "waits for the app's subscriptions"),
        ({"subscriptions": [{"topic": "purchases"}]}, "not subscribed yet: payments"),
        ({"scheduler": {}}, "waits for the scheduler"),
        ({"actorRuntime": {"hostReady": False}}, "waits for placement"),
        ({"actorRuntime": None}, "waits for placement"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], missing: str) -> None:
    assert missing_in({**READY, **change}, TOPICS) == missing
