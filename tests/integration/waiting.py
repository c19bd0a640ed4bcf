"""Waiting for what must become true, with a deadline; never a blind sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05


def eventually(condition: Callable[[], T | None], deadline_seconds: float, what: str, poll_seconds: float = POLL_SECONDS) -> T:
    """The first truthy answer of `condition`; an AssertionError that shows its last answer when the time is over."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {deadline_seconds:g} s: {what}; last seen: {answer!r}"
        time.sleep(poll_seconds)
