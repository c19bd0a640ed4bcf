"""The streams lane, on Redis: notices when entries are taken off a topic's stream that nobody had acknowledged.

In: the streams, and what they were at the last look. Out: the alert `stream-trimmed`, once for each time. Sayso never trims. Whoever
does takes events that no ledger has, and nobody else says a word: the server drops what is gone from the list of pending entries when
daprd claims it again, which takes it seconds, so this looks more often than that, and once before daprd is let in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
import valkey
from valkey.exceptions import ResponseError, ValkeyError

from sayso.ledger import Ledger
from sayso.ledger.alerts import alert

log = structlog.get_logger()
GROUP = "sayso"
"""`consumerID` in components/redis/pubsub.yaml."""
PENDING_MAX = 1_000
CALL_SECONDS = 2.0
EntryId = tuple[int, int]


@dataclass(frozen=True)
class Sight:
    """A stream at one look. `removed` counts what was ever taken off; `lost` says what is known to be missing."""

    removed: int
    oldest_open: bytes | None
    lost: str | None


def redis_client(address: str) -> Any:
    """A client of the broker at host:port, with deadlines."""
    host, _, port = address.rpartition(":")
    return valkey.Valkey(host, int(port), socket_timeout=CALL_SECONDS, socket_connect_timeout=CALL_SECONDS)


class StreamWatch:
    """One look at every stream at each call of `work`; `after` is told when there is something to publish."""

    def __init__(self, client: Any, topics: Iterable[str], ledger: Ledger, after: Callable[[], None]) -> None:
        self._client = client
        self._topics = tuple(topics)
        self._ledger = ledger
        self._after = after
        self._last: dict[str, Sight] = {}
        self._reached = True

    def work(self) -> bool:
        """Look; a broker that is away is said once. There is never more to do at once."""
        try:
            for topic in self._topics:
                self._look(topic)
        except ValkeyError as error:
            if self._reached:
                log.warning("the streams cannot be watched", error=str(error))
            self._reached = False
        else:
            self._reached = True
        return False

    def _look(self, topic: str) -> None:
        before = self._last.get(topic)
        sight = self._sight(topic, before.oldest_open if before is not None else None)
        if sight is None:
            if before is not None:
                self._tell(topic, before.removed + 1, "the stream was deleted, or its consumer group")
                del self._last[topic]
            return
        if sight.lost is not None:
            self._tell(topic, sight.removed, sight.lost)
        self._last[topic] = sight

    def _tell(self, topic: str, removed: int, lost: str) -> None:
        reason = f"somebody has taken entries off the stream {topic} that were not acknowledged, {removed} in its whole life: {lost}"
        log.error("stream trimmed", topic=topic, lost=lost)
        raised = partial(alert, kind="stream-trimmed", occurrence=f"{topic}:{removed}", reason=reason, detail={"topic": topic})
        self._ledger.transact(raised)
        self._after()

    def _sight(self, topic: str, open_before: bytes | None) -> Sight | None:
        try:
            stream = self._client.xinfo_stream(topic)
            group = next((each for each in self._client.xinfo_groups(topic) if each["name"] == GROUP.encode()), None)
        except ResponseError:
            return None  # nobody has subscribed or published yet
        if group is None:
            return None
        removed = stream.get("entries-added", stream["length"]) - stream["length"]
        pending = [each["message_id"] for each in self._client.xpending_range(topic, GROUP, "-", "+", PENDING_MAX)]
        if removed == 0:
            return Sight(0, self._oldest(topic, pending, group), None)
        lost = self._lost(topic, stream, group, pending) or self._lost_since(topic, open_before)
        return Sight(removed, self._oldest(topic, pending, group), lost)

    def _lost(self, topic: str, stream: Any, group: Any, pending: list[bytes]) -> str | None:
        gone = [one for one, kept in zip(pending, self._bodies(topic, pending), strict=True) if not kept]
        if gone:
            return f"{len(gone)} were in hand, the oldest is {gone[0].decode()}"
        read = _entry_id(group["last-delivered-id"])
        if _entry_id(stream.get("max-deleted-entry-id", b"0-0")) > read:
            return "one that nobody had read was deleted"
        first = stream["first-entry"]
        unread = stream["entries-added"] - stream["length"] - (group.get("entries-read") or 0)
        if unread > 0 and group.get("entries-read") is not None and (first is None or _entry_id(first[0]) > read):
            return f"{unread} that nobody had read"
        return None

    def _lost_since(self, topic: str, open_before: bytes | None) -> str | None:
        """What was open at the last look must still be there: acknowledging takes nothing off a stream."""
        if open_before is None or self._bodies(topic, [open_before])[0]:
            return None
        return f"{open_before.decode()} and perhaps later ones, which were not acknowledged a moment before"

    def _oldest(self, topic: str, pending: list[bytes], group: Any) -> bytes | None:
        if pending:
            return pending[0]
        unread = self._client.xrange(topic, min=b"(" + group["last-delivered-id"], count=1)
        return bytes(unread[0][0]) if unread else None

    def _bodies(self, topic: str, entries: list[bytes]) -> list[bool]:
        """Which of these entries are still on the stream."""
        calls = self._client.pipeline(transaction=False)
        for entry in entries:
            calls.xrange(topic, min=entry, max=entry, count=1)
        return [bool(found) for found in calls.execute()]


def _entry_id(text: bytes) -> EntryId:
    milliseconds, _, number = text.decode().partition("-")
    return int(milliseconds), int(number)
