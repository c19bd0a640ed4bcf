"""Whose turn it is to write to a SQLite file: one process after the other, in the order in which they asked.

SQLite lets a writer that finds another one at work sleep for 1, 2, 5, … up to 100 ms before it looks again: two busy processes leave
the file alone for a seventh of the time, and the one that comes back at once gets it again, for seconds. With these two files the
next one is ready when a writer has finished. They are a courtesy among Sayso's processes: what protects the ledger is SQLite's own
lock, and a process that has waited too long, because another one is paused in its turn, goes on with that alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sayso.errors import TransientError

LOOK_SECONDS = 0.0005
PATIENCE_SECONDS = 5.0


class Turn:
    """For one thread. The kernel takes the turn from a killed process."""

    def __init__(self, ledger: str) -> None:
        """`TransientError` when the files cannot be made."""
        self._write, self._next = _opened(f"{ledger}.write.lock"), _opened(f"{ledger}.next.lock")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for it, and give it back."""
        until = time.monotonic() + PATIENCE_SECONDS
        if _locked(self._next, until):  # who is next keeps the one that has just finished from being the next again
            _locked(self._write, until)
            fcntl.flock(self._next, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._write, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files, which stay."""
        os.close(self._write)
        os.close(self._next)


def _locked(file: int, until: float) -> bool:
    """The kernel could wait by itself, but not for a limited time."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_SECONDS)
        else:
            return True


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TransientError(f"the ledger is not available: {path}: {error.strerror}") from error
