"""The seeded broker: every message at least once, late, early, several times, until a subscriber has acknowledged it.

In: messages with their moments; acknowledgements. Out: deliveries that are due. It may lose an acknowledgement, and deliver again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from sayso.simulator.clock import BEGINNING_MS
from sayso.simulator.scenarios import DAY, HOUR, MINUTE, SECOND
from sayso.simulator.scheduler import Scheduler
from sayso.simulator.traffic import Message

DELAYS_MS = (100, SECOND, SECOND, 10 * SECOND, MINUTE, HOUR, DAY)
REPETITIONS_MS = (0, 0, 0, 1, SECOND, SECOND, MINUTE, HOUR, 8 * DAY)
REDELIVERY_MS = 15 * SECOND


class Broker:
    """All topics. `accepted_at_ms` says by when a message was acknowledged for the first time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.messages: list[Message] = []
        self.accepted_at_ms: dict[int, int] = {}
        self.first_sent_ms: dict[int, int] = {}
        self.unsure: set[int] = set()
        self.deliveries = 0
        self._scheduler = scheduler
        self._queue: list[tuple[int, int, int]] = []
        self._numbers = 0

    def send(self, messages: Iterable[Message]) -> None:
        """Take the messages; each is delivered when its moment, and the weather, allow."""
        rng, weather = self._scheduler.rng, self._scheduler.weather
        for message in messages:
            number = len(self.messages)
            self.messages.append(message)
            at_ms = max(BEGINNING_MS + message.at_ms, self._scheduler.clock.now_ms)
            self.first_sent_ms[number] = at_ms
            delay_ms = rng.choice(DELAYS_MS) if rng.random() < weather.delay else 0
            self._deliver(at_ms + delay_ms, number)
            while rng.random() < weather.duplicate:
                self._deliver(at_ms + delay_ms + rng.choice(REPETITIONS_MS), number)

    def due(self, at_most: int) -> list[int]:
        """The numbers of messages to be delivered now."""
        found: list[int] = []
        queue, now_ms = self._queue, self._scheduler.clock.now_ms
        while queue and queue[0][0] <= now_ms and len(found) < at_most:
            found.append(heapq.heappop(queue)[2])
        self.deliveries += len(found)
        return found

    @property
    def waiting(self) -> int:
        """How many deliveries are still to be made."""
        return len(self._queue)

    def next_ms(self) -> int | None:
        """When the next delivery is due."""
        return self._queue[0][0] if self._queue else None

    def acknowledged(self, number: int) -> None:
        """A subscriber has it; the broker may not hear of it."""
        now_ms = self._scheduler.clock.now_ms
        self.accepted_at_ms.setdefault(number, now_ms)
        if self._scheduler.rng.random() < self._scheduler.weather.lost_ack:
            self.not_acknowledged(number)

    def times_are_unsure(self) -> None:
        """The clock is set back: of what is on its way, nobody can say any more when it was received."""
        self.unsure.update(number for number in self.first_sent_ms if number not in self.accepted_at_ms)

    def not_acknowledged(self, number: int) -> None:
        """The subscriber said RETRY, or died: again later."""
        self._deliver(self._scheduler.clock.now_ms + REDELIVERY_MS, number)

    def _deliver(self, at_ms: int, number: int) -> None:
        self._numbers += 1
        heapq.heappush(self._queue, (at_ms, self._numbers, number))
