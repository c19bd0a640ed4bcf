"""Lanes: loops that take due rows and work them off, woken in-process and polling as a fall-back.

A lane never dies of an error: it says what went wrong, waits, and tries again. The rows it had leased come back by themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from sayso.errors import SaysoError

log = structlog.get_logger()
PAUSE_AFTER_ERROR = timedelta(seconds=1)


class Lane:
    """A named thread around `work`, which returns whether there is more to do at once, or a time after which to look again."""

    def __init__(self, name: str, work: Callable[[], bool | timedelta], poll_interval: timedelta) -> None:
        self.name = name
        self._work = work
        self._poll_seconds = poll_interval.total_seconds()
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do: do not wait for the next poll."""
        self._awake.set()

    def stop(self, timeout_seconds: float) -> None:
        """Finish the piece of work in hand and end."""
        self._stopping.set()
        self._awake.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                more = self._work()
            except SaysoError as error:
                log.warning("lane paused", lane=self.name, error=str(error))
                self._stopping.wait(PAUSE_AFTER_ERROR.total_seconds())
                continue
            except Exception:  # a bug on one row must not end the lane for all others
                log.exception("lane failed", lane=self.name)
                self._stopping.wait(PAUSE_AFTER_ERROR.total_seconds())
                continue
            if isinstance(more, timedelta):
                self._awake.wait(more.total_seconds())
            elif not more:
                self._awake.wait(self._poll_seconds)


def backoff_ms(attempts: int, longest: timedelta) -> int:
    """How long a row rests after its n-th failed attempt: 200 ms, doubled each time, at most `longest`."""
    return int(min(200 * 2 ** min(attempts, 20), longest.total_seconds() * 1000))
