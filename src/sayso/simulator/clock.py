"""Virtual time: the one clock of ledger, broker and engine; it moves only when the simulation says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING_MS = 1_767_603_600_000
"""2026-01-05 09:00 UTC: a Monday morning."""


class VirtualClock:
    """Milliseconds since 1970."""

    def __init__(self) -> None:
        self.now_ms = BEGINNING_MS

    @property
    def now(self) -> datetime:
        """The same as an aware datetime."""
        return EPOCH + timedelta(milliseconds=self.now_ms)

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.now_ms / 1000

    def advance_to(self, at_ms: int) -> None:
        """Never back."""
        self.now_ms = max(self.now_ms, at_ms)
