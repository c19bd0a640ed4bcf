"""The publisher port: events onto topics.

`DaprPublisher` publishes structured CloudEvents through the sidecar, many in one call, with the business key as partition key.
A publish whose answer is lost is made again by the caller: receivers see the same event id twice, never another id.
A call's events reach Redis streams in any order (daprd publishes them side by side), so one call has at most one event of a key.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
from dapr.clients import BulkPublishEntry, DaprClient
from dapr.clients.exceptions import DaprGrpcError, DaprInternalError

from sayso.contracts.cloudevent import CONTENT_TYPE
from sayso.errors import TransientError


@dataclass(frozen=True)
class Message:
    """One event to publish. `reference` is the caller's own."""

    reference: int
    key: str
    body: bytes


class Publisher(Protocol):
    """What the outbox needs of a broker."""

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """Publish, those of one key in order, and none after one that failed; returns the references that failed, with why.
        `TransientError` when nothing is known of any.
        """


RAW = {"rawPayload": "true"}
"""daprd passes the bytes on as they are. Otherwise it parses and writes them anew, and numbers of others become floats."""


class DaprPublisher:
    """Dapr pub/sub, over the sidecar's gRPC port."""

    def __init__(self, pubsub: str, address: str | None = None) -> None:
        self._pubsub = pubsub
        self._client = DaprClient(address=address)

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        failed: dict[int, str] = {}
        stuck: dict[str, str] = {}
        for number, wave in enumerate(waves(messages)):
            going = [message for message in wave if message.key not in stuck]
            failed |= {message.reference: stuck[message.key] for message in wave if message.key in stuck}
            try:
                refused = self._call(topic, going) if going else {}
            except TransientError as error:
                if number == 0:
                    raise
                refused = dict.fromkeys((message.reference for message in going), str(error))
            failed |= refused
            for message in going:
                if message.reference in refused:
                    stuck[message.key] = f"the event before it, of the same key, was not published: {refused[message.reference]}"
        return failed

    def _call(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        entries = [
            BulkPublishEntry(
                message.body, metadata={"partitionKey": message.key}, content_type=CONTENT_TYPE, entry_id=str(message.reference)
            )
            for message in messages
        ]
        try:
            answer = self._client.publish_events(self._pubsub, topic, entries, publish_metadata=RAW)
        except (grpc.RpcError, DaprGrpcError, DaprInternalError) as error:
            raise TransientError(f"publishing to {topic} failed: {_details(error)}") from error
        return {int(entry.entry_id): entry.error for entry in answer.failed_entries}

    def close(self) -> None:
        """Close the channel."""
        self._client.close()


def waves(messages: Sequence[Message]) -> list[list[Message]]:
    """Cut into calls in which no key comes twice: the first has the first of each key, the next the second, and so on."""
    seen: Counter[str] = Counter()
    cut: defaultdict[int, list[Message]] = defaultdict(list)
    for message in messages:
        cut[seen[message.key]].append(message)
        seen[message.key] += 1
    return [cut[number] for number in sorted(cut)]


def _details(error: Exception) -> str:
    details = getattr(error, "details", None)
    return str(details() if callable(details) else error)[:300]
