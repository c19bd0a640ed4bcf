"""The courier: events onto topics, many in one call, and an answer for each.

In: an event for a topic. Out: it returns when the broker has it, `TransientError` when it has not or nobody knows. Invariants: what
waits is bounded; a call carries all that came while the one before it was under way; who has stopped waiting is not published for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from sayso.errors import TransientError
from sayso.publisher import Message, Publisher

CALL_EVENTS_MAX = 100
CALL_BYTES_MAX = 3 * 1024 * 1024
"""Below the 4 MiB that the sidecar takes in one call."""
CALLS_AT_ONCE = 8


@dataclass
class _Waiting:
    message: Message
    answer: asyncio.Future[None]


@dataclass
class _Topic:
    queue: deque[_Waiting] = field(default_factory=deque)
    work: asyncio.Task[None] | None = None


class Courier:
    """One a process. All methods on one event loop."""

    def __init__(self, publisher: Publisher, timeout: timedelta, waiting_max: int) -> None:
        self._publisher = publisher
        self._seconds = timeout.total_seconds()
        self._waiting_max = waiting_max
        self._waiting = 0
        self._topics: dict[str, _Topic] = {}
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, "publish")

    async def publish(self, topic: str, key: str, body: bytes) -> None:
        """Return when the broker has it."""
        if self._waiting >= self._waiting_max:
            raise TransientError(f"{self._waiting} events wait for the broker already")
        at = self._topics.setdefault(topic, _Topic())
        one = _Waiting(Message(next(self._numbers), key, body), asyncio.get_running_loop().create_future())
        self._waiting += 1
        try:
            at.queue.append(one)
            if at.work is None or at.work.done():
                at.work = asyncio.create_task(self._work(topic, at))
            async with asyncio.timeout(self._seconds):
                await one.answer
        except TimeoutError:
            raise TransientError(f"the broker did not take it within {self._seconds:g} s") from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Wait for the calls that are under way."""
        works = [at.work for at in self._topics.values() if at.work is not None]
        await asyncio.gather(*works, return_exceptions=True)
        self._threads.shutdown()

    async def _work(self, topic: str, at: _Topic) -> None:
        while at.queue:
            batch = _next_call(at.queue)
            if batch:
                await self._call(topic, batch)

    async def _call(self, topic: str, batch: list[_Waiting]) -> None:
        messages = [one.message for one in batch]
        try:
            failed = await asyncio.get_running_loop().run_in_executor(self._threads, self._publisher.publish, topic, messages)
        except Exception as error:  # noqa: BLE001 - whatever it is, each sender must be told; the error goes on to the log there
            failed = {message.reference: str(error) for message in messages}
        for one in batch:
            if one.answer.done():  # its sender was told 503; that it may be there now is why ids stay the same
                continue
            reason = failed.get(one.message.reference)
            if reason is None:
                one.answer.set_result(None)
            else:
                one.answer.set_exception(TransientError(reason))


def _next_call(queue: deque[_Waiting]) -> list[_Waiting]:
    """As many as one call may carry, without those whose senders have gone."""
    batch: list[_Waiting] = []
    size = 0
    while queue and len(batch) < CALL_EVENTS_MAX:
        one = queue[0]
        if batch and size + len(one.message.body) > CALL_BYTES_MAX:
            break
        queue.popleft()
        if not one.answer.done():
            batch.append(one)
            size += len(one.message.body)
    return batch
