"""The courier: an answer for each event, one key in order, many in a call, and what waits is bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest

from sayso.errors import TransientError
from sayso.publisher import Message
from sayso_gateway.courier import CALL_EVENTS_MAX, LANES, Courier

LONG = timedelta(seconds=20)


class Broker:
    """A `Publisher` that can be held, and refuses what is called `bad`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.breaks = False

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        self.open.wait(20)
        if self.breaks:
            raise RuntimeError("broken")
        self.calls.append([message.body.decode() for message in messages])
        return {message.reference: "refused" for message in messages if message.body == b"bad"}


async def outcome(sent: Coroutine[Any, Any, None]) -> str:
    try:
        await sent
    except TransientError as error:
        return str(error)
    return "taken"


def run(broker: Broker, *bodies: str, key: str | None = None, timeout: timedelta = LONG, waiting_max: int = 1_000) -> list[str]:
    async def all_of_them() -> list[str]:
        courier = Courier(broker, timeout, waiting_max)
        try:
            return list(await asyncio.gather(*(outcome(courier.publish("t", key or body, body.encode())) for body in bodies)))
        finally:
            broker.open.set()
            await courier.close()

    return asyncio.run(all_of_them())


def test_each_is_answered_for_itself() -> None:
    assert run(Broker(), "a", "bad", "b") == ["taken", "refused", "taken"]


def test_what_comes_while_a_call_is_under_way_goes_together_and_one_key_keeps_its_order() -> None:
    broker = Broker()
    bodies = [str(number) for number in range(3 * CALL_EVENTS_MAX)]
    assert set(run(broker, *bodies, key="one")) == {"taken"}
    assert [body for call in broker.calls for body in call] == bodies
    assert len(broker.calls) <= 4
    assert max(map(len, broker.calls)) <= CALL_EVENTS_MAX


def test_other_keys_do_not_wait_for_a_call_that_hangs() -> None:
    broker = Broker()
    assert set(run(broker, *(f"key-{number}" for number in range(100)))) == {"taken"}
    assert len(broker.calls) <= 2 * LANES


def test_an_error_of_any_kind_is_told_to_each_sender() -> None:
    broker = Broker()
    broker.breaks = True
    assert run(broker, "a", "b") == ["broken", "broken"]


def test_a_broker_that_does_not_answer_is_told_in_time_and_what_nobody_waits_for_is_not_sent() -> None:
    broker = Broker()
    broker.open.clear()
    answers = run(broker, *map(str, range(5)), key="one", timeout=timedelta(milliseconds=200))
    assert answers == ["the broker did not take it within 0.2 s"] * 5
    assert sum(map(len, broker.calls)) <= 5


def test_what_waits_is_bounded() -> None:
    broker = Broker()
    broker.open.clear()
    answers = run(broker, *map(str, range(12)), timeout=timedelta(milliseconds=200), waiting_max=10)
    assert answers[10:] == ["10 events wait for the broker already"] * 2


@pytest.mark.parametrize("size", [2 * 1024 * 1024])
def test_a_call_is_not_longer_than_the_sidecar_takes(size: int) -> None:
    broker = Broker()
    assert run(broker, "a" * size, "b" * size, "c" * size, key="one") == ["taken"] * 3
    assert [len(call) for call in broker.calls] == [1, 1, 1]
