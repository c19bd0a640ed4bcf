"""The other systems: writes events straight to the broker and reads the outcomes from it, past Dapr and Sayso.

In: host:port. Out: events on topics, in one pipeline; outcomes with the time at which they were on their topic (seconds since 1970).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import valkey
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from sayso.contracts.cloudevent import CONTENT_TYPE
from sayso.stack.state import Broker

OUTCOMES = "outcomes"
PIPELINE_MAX = 1_000
WAIT_MS = 20


@dataclass(frozen=True)
class Outgoing:
    """One event: its business key and its CloudEvent, structured."""

    key: str
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """What came out on `outcomes`: when, and the event's data."""

    at: float
    data: dict[str, Any]


class Topics(Protocol):
    """A broker, seen by a foreign client."""

    def publish(self, topic: str, events: Sequence[Outgoing]) -> None:
        """Write the events in order; they are on the topic when this returns."""

    def new_outcomes(self) -> list[Outcome]:
        """The outcomes since the last call; waits a moment for the first one."""

    def close(self) -> None:
        """Close the connections."""


class ValkeyTopics:
    """Redis streams, as Dapr's redis component reads and writes them."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._client: Any = valkey.Valkey(host=host, port=int(port))  # typed in part
        self._last = "0-0"

    def publish(self, topic: str, events: Sequence[Outgoing]) -> None:
        """See `Topics.publish`."""
        for start in range(0, len(events), PIPELINE_MAX):
            pipeline = self._client.pipeline(transaction=False)
            for event in events[start : start + PIPELINE_MAX]:
                pipeline.xadd(topic, {"data": event.body})
            pipeline.execute()

    def new_outcomes(self) -> list[Outcome]:
        """See `Topics.new_outcomes`; an entry's id is the server's time in ms."""
        answer = self._client.xread({OUTCOMES: self._last}, count=PIPELINE_MAX, block=WAIT_MS)
        entries = answer[0][1] if answer else []
        if entries:
            self._last = entries[-1][0].decode()
        return [Outcome(int(number.partition(b"-")[0]) / 1000, json.loads(entry[b"data"])["data"]) for number, entry in entries]

    def close(self) -> None:
        """See `Topics.close`."""
        self._client.close()


class KafkaTopics:
    """Kafka, with the CloudEvents content type that a foreign producer sets."""

    def __init__(self, address: str) -> None:
        server = {"bootstrap.servers": address, "log_level": 0}  # or it fills the terminal when the stack is stopped
        self._producer = Producer({**server, "linger.ms": 0})
        self._consumer = Consumer({**server, "group.id": "bench", "enable.auto.commit": False})
        partitions = self._consumer.list_topics(OUTCOMES, timeout=10).topics[OUTCOMES].partitions
        self._consumer.assign([TopicPartition(OUTCOMES, number, OFFSET_BEGINNING) for number in partitions])

    def publish(self, topic: str, events: Sequence[Outgoing]) -> None:
        """See `Topics.publish`."""
        for event in events:
            self._producer.produce(topic, event.body, event.key, headers={"content-type": CONTENT_TYPE})
        self._producer.flush()

    def new_outcomes(self) -> list[Outcome]:
        """See `Topics.new_outcomes`; the time is what daprd's producer wrote."""
        found = []
        for message in self._consumer.consume(PIPELINE_MAX, WAIT_MS / 1000):
            body = message.value()
            assert body is not None, f"a message without a body: {message.error()}"
            found.append(Outcome(message.timestamp()[1] / 1000, json.loads(body)["data"]))
        return found

    def close(self) -> None:
        """See `Topics.close`."""
        self._consumer.close()


def connect(broker: Broker, address: str) -> Topics:
    """A client of this broker."""
    return KafkaTopics(address) if broker == "kafka" else ValkeyTopics(address)
