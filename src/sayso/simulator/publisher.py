"""The simulated topics that Sayso publishes to: what a subscriber of them would see.

In: calls of the outbox. Out: the events, in order, each as often as it was published. A call fails before or after its effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from sayso.errors import TransientError
from sayso.publisher import Message
from sayso.simulator.scheduler import Scheduler


class SimulatedPublisher:
    """A `Publisher`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.published: list[tuple[str, bytes]] = []
        self._scheduler = scheduler

    def publish(self, topic: str, messages: Sequence[Message]) -> dict[int, str]:
        """See `Publisher.publish`."""
        scheduler = self._scheduler
        rng, weather = scheduler.rng, scheduler.weather
        scheduler.point()
        if rng.random() < weather.engine_down:
            raise TransientError(f"publishing to {topic} failed: UNAVAILABLE")
        failed: dict[int, str] = {}
        for message in messages:
            if rng.random() < weather.lost_answer:
                failed[message.reference] = "the broker refused it"
            if message.reference not in failed or rng.random() < 0.5:
                self.published.append((topic, message.body))
        scheduler.point()
        if rng.random() < weather.lost_answer:
            raise TransientError(f"publishing to {topic} failed: DEADLINE_EXCEEDED")
        return failed
