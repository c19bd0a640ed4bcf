"""The target: an HTTP service that fails by a seeded schedule and writes down who asked what.

In: a seed. Out: `asked`: check number → whether the answer was 200, and the change that was in force (the last part of the path). It
answers a check that is repeated as before, by its idempotency key.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK, UNWELL = 200, 503
RUN_LENGTHS = (1, 1, 2, 2, 3, 4, 6, 9)
HANGS = 0.005


@dataclass(frozen=True)
class Asked:
    """One check as the target saw it; `change` is the number of the change in force, 0 before the first."""

    healthy: bool
    change: int


class SeededTarget:
    """Made by `serving`."""

    def __init__(self, seed: int, hang_seconds: float) -> None:
        self._schedule = _schedule(random.Random(seed))  # noqa: S311 - a plan, no secret
        self._hang_seconds = hang_seconds
        self._lock = threading.Lock()
        self._answers: list[int | None] = []
        self.asked: dict[int, Asked] = {}
        self.released = threading.Event()
        self.address = ""

    def answer(self, number: int, change: int) -> int | None:
        """The status for this check; None: it hangs."""
        with self._lock:
            while len(self._answers) < number:
                self._answers.append(next(self._schedule))
            status = self._answers[number - 1]
            self.asked.setdefault(number, Asked(status == OK, change))
            return status

    def hang(self) -> None:
        """Longer than a check may take."""
        self.released.wait(self._hang_seconds)

    @property
    def checks(self) -> int:
        """How many checks it has seen."""
        with self._lock:
            return len(self.asked)


def _schedule(rng: random.Random) -> Iterator[int | None]:
    """Runs of good answers and runs of bad ones, some of which hang."""
    for number in range(10_000_000):
        for _ in range(rng.choice(RUN_LENGTHS) * (1 if number % 2 else 2)):
            yield OK if number % 2 == 0 else None if rng.random() < HANGS else UNWELL


@contextmanager
def serving(seed: int, hang_seconds: float) -> Iterator[SeededTarget]:
    """A target on a free port of this machine."""
    target = SeededTarget(seed, hang_seconds)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int((self.headers["Idempotency-Key"] or "0").rpartition("/")[2])
            status = target.answer(number, int(self.path.rpartition("/")[2] or 0))
            if status is None:
                target.hang()
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """The log is `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    target.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield target
    finally:
        target.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
