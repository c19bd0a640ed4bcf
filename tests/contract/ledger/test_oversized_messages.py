"""Messages above the transport's limit are refused at the door, with one alert, and never routed."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from ledger_world import World

from sayso.ledger.oversized import BEGINNING_BYTES, KEPT_BYTES_MAX, TRANSPORT_BYTES_MAX, receive_oversized

ABOVE = b"x" * (TRANSPORT_BYTES_MAX + 1)
FAR_ABOVE = b"y" * (KEPT_BYTES_MAX + 1)


@pytest.mark.parametrize(("original", "kept"), [(ABOVE, len(ABOVE)), (FAR_ABOVE, BEGINNING_BYTES)], ids=["above", "far above"])
def test_it_is_rejected_once_with_one_alert_and_one_dead_letter(world: World, original: bytes, kept: int) -> None:
    for _ in range(3):
        world.ledger.transact(partial(receive_oversized, topic="purchases", original=original))
    (row,) = world.events
    assert (row.state, row.sightings, row.due_at_ms) == ("rejected", 3, None)
    assert row.reason.startswith(f"the message has {len(original)} bytes")
    assert row.digest == hashlib.sha256(original).hexdigest()
    assert bytes(row.original) == original[:kept]
    assert world.route() == []
    topics = [topic for topic, _ in world.published]
    assert sorted(topics) == ["alerts", "deadletters"]
    alert = next(data for topic, data in world.published if topic == "alerts")
    assert (alert["kind"], alert["detail"]["bytes"]) == ("message-too-large", len(original))
