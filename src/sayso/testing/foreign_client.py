"""Clients of the broker that know nothing of Dapr or Sayso: another system that writes to a topic or reads one.

In: topic and bytes. Out: bytes on the broker itself, and everything that a topic has carried so far, oldest first.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import valkey
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from sayso.stack.state import StackState

CONTENT_TYPE = "application/cloudevents+json"
ANSWER_SECONDS = 10.0
AWAY_SECONDS = 90.0
RETRY_SECONDS = 0.2


class ForeignClient(Protocol):
    """What a broker can do for another system."""

    def send(self, topic: str, body: bytes, key: str = "") -> None:
        """Write one message as other systems do."""

    def send_without_body(self, topic: str, key: str = "") -> None:
        """Write what only this broker allows: an entry without a `data` field, or a record whose value is null."""

    def read(self, topic: str) -> list[bytes]:
        """All that the topic has carried."""

    def close(self) -> None:
        """Close the connections."""


class ValkeyClient:
    """Redis streams: `XADD topic * data '<json>'`."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._client: Any = valkey.Valkey(
            host=host,
            port=int(port),
            socket_timeout=ANSWER_SECONDS,
        )

    def send(self, topic: str, body: bytes, key: str = "") -> None:
        del key  # a stream has no partitions
        self._add(topic, {"data": body})

    def send_without_body(self, topic: str, key: str = "") -> None:
        del key
        self._add(topic, {"note": "there is no field `data`"})

    def read(self, topic: str) -> list[bytes]:
        entries: Any = self._client.xrange(topic)
        return [fields.get(b"data", b"") for _, fields in entries]

    def close(self) -> None:
        self._client.close()

    def _add(self, topic: str, fields: dict[str, bytes | str]) -> None:
        """A sender whose broker is away tries again: what was taken without an answer is then there twice."""
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                self._client.xadd(topic, fields)
            except (valkey.exceptions.ConnectionError, valkey.exceptions.TimeoutError):
                assert time.monotonic() < deadline, f"the broker was away for {AWAY_SECONDS:g} s"
                time.sleep(RETRY_SECONDS)
            else:
                return


class KafkaClient:
    """Kafka records in CloudEvents' structured mode."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0, "log_level": 0})
        self._readers: dict[str, _KafkaReader] = {}

    def send(self, topic: str, body: bytes, key: str = "") -> None:
        self._produce(topic, body, key)

    def send_without_body(self, topic: str, key: str = "") -> None:
        self._produce(topic, None, key)

    def read(self, topic: str) -> list[bytes]:
        if topic not in self._readers:
            self._readers[topic] = _KafkaReader(self._brokers, topic)
        return self._readers[topic].read()

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._producer.flush(ANSWER_SECONDS)

    def _produce(self, topic: str, body: bytes | None, key: str) -> None:
        """Returns when the broker has it; many at once wait for each other."""
        failures: list[Any] = []
        self._producer.produce(
            topic,
            body,
            key=key or None,
            headers={"content-type": CONTENT_TYPE},
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        assert self._producer.flush(AWAY_SECONDS) == 0, f"the broker did not take a message for {topic}"
        assert not failures, failures


class _KafkaReader:
    """Reads one topic from its beginning, and keeps what it has read."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "foreign-reader",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "log_level": 0,
            }
        )
        partitions = self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic].partitions
        self._next = dict.fromkeys(partitions, 0)
        self._consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        self._read: list[bytes] = []

    def read(self) -> list[bytes]:
        ends = {number: self._end(number) for number in self._next}
        while any(self._next[number] < end for number, end in ends.items()):
            for message in self._consumer.consume(500, timeout=0.05):
                partition, offset, value = message.partition(), message.offset(), message.value()
                assert message.error() is None, message.error()
                assert partition is not None
                assert offset is not None
                self._next[partition] = offset + 1
                self._read.append(value or b"")
        return list(self._read)

    def close(self) -> None:
        self._consumer.close()

    def _end(self, number: int) -> int:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=ANSWER_SECONDS)
        return int(end)


def foreign_client_of(state: StackState) -> ForeignClient:
    """The client for the broker that carries this stack's topics."""
    return KafkaClient(state.kafka_brokers) if state.broker == "kafka" else ValkeyClient(state.redis_host)
