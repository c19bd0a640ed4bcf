"""The load: a thread that sends stories at a steady rate to the broker itself, whatever happens to the system.

In: stories, a rate. Out: the log of what was sent, in order, as the checker reads it. Each message is sent until the broker has taken
it, one after the other, so the log's order is the order on each partition.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from sayso.simulator.observed import Sent
from sayso.testing.demo_signer import DemoSigner
from sayso.testing.fault_run.stories import Message
from sayso.testing.foreign_client import ForeignClient

IDLE_SECONDS = 0.02
TRIES = 5


class Load:
    """Start it, stop it; stories that have begun are told to their end."""

    def __init__(self, broker: ForeignClient, signer: DemoSigner, stories: Iterator[list[Message]], stories_a_second: float) -> None:
        self._broker = broker
        self._signer = signer
        self._stories = stories
        self._pause_seconds = 1 / stories_a_second
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent: list[Sent] = []
        """One record for each message, repetitions too."""
        self.told = 0
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Begin no further story; wait until all that have begun are told."""
        self._stopping.set()
        self._thread.join(timeout_seconds)
        if self.error is not None:
            raise self.error
        assert not self._thread.is_alive(), f"not all was sent within {timeout_seconds:.0f} s"

    def _run(self) -> None:
        try:
            self._tell()
        except BaseException as error:  # noqa: BLE001 - raised again where the run waits
            self.error = error

    def _tell(self) -> None:
        waiting: list[tuple[float, int, Message]] = []
        number = itertools.count()
        next_story = time.monotonic()
        while waiting or not self._stopping.is_set():
            now = time.monotonic()
            if not self._stopping.is_set() and now >= next_story:
                # After an outage of the broker the rate goes on, it is not made up for.
                next_story = max(next_story + self._pause_seconds, now - self._pause_seconds)
                self.told += 1
                story = next(self._stories)
                for message in story:
                    self._signer.note(message.topic, message.body)
                for message in story:
                    heapq.heappush(waiting, (now + message.after_seconds, next(number), message))
            elif waiting and waiting[0][0] <= now:
                self._send(heapq.heappop(waiting)[2])
            else:
                time.sleep(IDLE_SECONDS)

    def _send(self, message: Message) -> None:
        message = replace(message, body=self._signer.sign(message.topic, message.body))
        began = time.time()
        for attempt in range(1, TRIES + 1):
            try:
                self._broker.send(message.topic, message.body, message.key)
                break
            except AssertionError:  # the broker was away for longer than the client waits
                if attempt == TRIES:
                    raise
        self.sent.append(
            Sent(
                event_id=message.event_id,
                source=message.source,
                topic=message.topic,
                type=message.type,
                key=message.key,
                digest=hashlib.sha256(message.body).hexdigest(),
                intent=message.intent,
                content=message.content,
                workflow=message.workflow,
                actor=message.actor,
                sent_at=began,
            )
        )
