"""Failures and delays on demand, so that the failure paths of a caller can be reached.

In: request headers, or environment variables for every request. Out: a pause, or a status to answer with instead.

| header | variable | what happens |
|---|---|---|
| `X-Partner-Delay-Ms: 200` | `PARTNERS_DELAY_MS=200` | waits first |
| `X-Partner-Fail: 503` | `PARTNERS_FAIL_EVERY=N` (every Nth POST, 503) | answers so; nothing was performed |
| `X-Partner-Fail-After: 503` | `PARTNERS_FAIL_AFTER_EVERY=N` | performs and remembers, then answers so: the answer got lost |
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

DELAY_MS_MAX = 60_000
EVERY_MAX = 1_000_000


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: the status to answer before, or after, the effect (0: none)."""

    before: int = 0
    after: int = 0


@dataclass
class Faults:
    """The service's settings; counts its POSTs."""

    delay_ms: int = 0
    fail_every: int = 0
    fail_after_every: int = 0
    _posts: count[int] = field(default_factory=lambda: count(1))

    @classmethod
    def from_environment(cls) -> Faults:
        """Read the variables; ValueError if one is no whole number."""
        return cls(
            delay_ms=_whole(os.environ, "PARTNERS_DELAY_MS", 0, DELAY_MS_MAX),
            fail_every=_whole(os.environ, "PARTNERS_FAIL_EVERY", 0, EVERY_MAX),
            fail_after_every=_whole(os.environ, "PARTNERS_FAIL_AFTER_EVERY", 0, EVERY_MAX),
        )

    async def strike(self, headers: Mapping[str, str]) -> Fault:
        """Wait as told, and say what goes wrong; ValueError for a header that makes no sense."""
        number = next(self._posts)
        delay_ms = _whole(headers, "X-Partner-Delay-Ms", 0, DELAY_MS_MAX) or self.delay_ms
        before = _whole(headers, "X-Partner-Fail", 400, 599) or _status_at(number, self.fail_every)
        after = _whole(headers, "X-Partner-Fail-After", 400, 599) or _status_at(number, self.fail_after_every)
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        return Fault(before, after)


def _status_at(number: int, every: int) -> int:
    return 503 if every and number % every == 0 else 0


def _whole(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    """The value of this name; 0 when it is absent."""
    text = values.get(name)
    if text is None:
        return 0
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)
