"""Another system's own client of the broker, knowing nothing of Dapr or Sayso.

In: the stack's broker. Out: a client that writes an event to a topic and finds one there; None when no such client is installed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sayso.contracts.cloudevent import CONTENT_TYPE
from sayso.errors import TransientError
from sayso.stack.state import StackState

TIMEOUT_SECONDS = 5.0
LOOK_BACK = 500
"""How many of a topic's latest messages are searched."""


class BrokerClient(Protocol):
    """Writes to and reads from topics."""

    how: str

    def write(self, topic: str, key: str, body: bytes) -> None:
        """Put a message on the topic."""

    def find(self, topic: str, event_id: str) -> bytes | None:
        """The message with this CloudEvent id among the latest of the topic."""

    def close(self) -> None:
        """Let go of the connection."""


def connect(state: StackState) -> BrokerClient | None:
    """A client of the stack's broker, None when its package is not installed."""
    try:
        return KafkaClient(state.broker_address) if state.broker == "kafka" else ValkeyClient(state.broker_address)
    except ImportError:
        return None


class ValkeyClient:
    """Valkey's or Redis' streams: `XADD topic * data …`."""

    how = "XADD, straight to Valkey"

    def __init__(self, address: str) -> None:
        import valkey  # noqa: PLC0415 - optional

        host, _, port = address.rpartition(":")
        self._client: Any = valkey.Valkey(host, int(port), socket_timeout=TIMEOUT_SECONDS)
        self._trouble: type[Exception] = valkey.exceptions.ValkeyError

    def write(self, topic: str, key: str, body: bytes) -> None:
        """See `BrokerClient.write`."""
        del key
        with _answering(self._trouble):
            self._client.xadd(topic, {"data": body})

    def find(self, topic: str, event_id: str) -> bytes | None:
        """See `BrokerClient.find`."""
        with _answering(self._trouble):
            latest = self._client.xrevrange(topic, count=LOOK_BACK)
        bodies = (fields.get(b"data", b"") for _, fields in latest)
        return next((bytes(body) for body in bodies if _is_event(body, event_id)), None)

    def close(self) -> None:
        """See `BrokerClient.close`."""
        self._client.close()


class KafkaClient:
    """Kafka, with the content type that the CloudEvents binding for Kafka asks for."""

    how = "a Kafka producer, straight to the broker"

    def __init__(self, brokers: str) -> None:
        import confluent_kafka  # noqa: PLC0415 - optional

        self._kafka: Any = confluent_kafka
        self._brokers = brokers
        self._producer = confluent_kafka.Producer({"bootstrap.servers": brokers})

    def write(self, topic: str, key: str, body: bytes) -> None:
        """See `BrokerClient.write`."""
        with _answering(self._kafka.KafkaException):
            self._producer.produce(topic, value=body, key=key.encode(), headers={"content-type": CONTENT_TYPE})
            if self._producer.flush(TIMEOUT_SECONDS) > 0:
                raise TransientError(f"the broker did not take the message within {TIMEOUT_SECONDS:.0f} s")

    def find(self, topic: str, event_id: str) -> bytes | None:
        """See `BrokerClient.find`."""
        consumer = self._kafka.Consumer(
            {"bootstrap.servers": self._brokers, "group.id": "sayso-demo", "enable.auto.commit": False, "enable.partition.eof": True}
        )
        try:
            with _answering(self._kafka.KafkaException):
                partitions = self._latest(consumer, topic)
                consumer.assign(partitions)
                return _search(consumer, event_id, len(partitions))
        finally:
            consumer.close()

    def _latest(self, consumer: Any, topic: str) -> list[Any]:
        found = []
        for number in consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].partitions:
            partition = self._kafka.TopicPartition(topic, number)
            low, high = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_SECONDS)
            found.append(self._kafka.TopicPartition(topic, number, max(low, high - LOOK_BACK)))
        return found

    def close(self) -> None:
        """See `BrokerClient.close`."""
        self._producer.flush(TIMEOUT_SECONDS)


@contextmanager
def _answering(trouble: type[Exception]) -> Iterator[None]:
    try:
        yield
    except trouble as error:
        raise TransientError(f"the broker does not answer: {error}") from error


def _search(consumer: Any, event_id: str, partitions: int) -> bytes | None:
    """Read until the event is found or every partition has been read to its end."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    ended: set[int] = set()
    while time.monotonic() < deadline and len(ended) < partitions:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error() is not None:
            ended.add(message.partition())
        elif _is_event(message.value(), event_id):
            return bytes(message.value())
    return None


def _is_event(body: bytes | None, event_id: str) -> bool:
    try:
        document = json.loads(body or b"")
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("id") == event_id
