"""Activities whose answer an instance will never hear.

In: an instance's history. Out: the activity. In daprd 1.18 a turn that a timer began is run again if its state could not be stored; an
activity that it had called meanwhile has its answer recorded before its call. The engine takes the call for answered and the SDK
passes over an answer to nothing, so the instance waits for ever (docs/faults.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sayso.engine import HistoryEntry

ANSWERS = ("TASK_COMPLETED", "TASK_FAILED")


def unanswered(history: Iterable[HistoryEntry], before: datetime) -> str | None:
    """The first activity that was asked for before this moment and has no answer after its call."""
    open_calls: dict[int, HistoryEntry] = {}
    for entry in history:
        if entry.kind == "TASK_SCHEDULED":
            open_calls[entry.number] = entry
        elif entry.kind in ANSWERS and entry.answers is not None:
            open_calls.pop(entry.answers, None)
    return next((entry.name for entry in open_calls.values() if entry.at < before), None)
