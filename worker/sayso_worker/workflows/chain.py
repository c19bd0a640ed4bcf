"""chain: steps one after the other, each with what the one before it gave (docs/seeds.md, task chaining).

In: step names, the first value. Out: what each step gave, in order; or `ChainFailedError` with the service's words. What has been
done is in the history and in the ledger, so no step runs again because a later one failed, or because a process was killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dapr.ext.workflow import RetryPolicy

from sayso.errors import SaysoError
from sayso_worker.workflows.journal import Failed, Journal, Yields


class ChainFailedError(SaysoError):
    """A step failed for good, after its retries or because it was refused; its text is the service's own words."""

    def __init__(self, step: str, error: str, results: Sequence[Any]) -> None:
        super().__init__(error)
        self.step = step
        self.results = list(results)
        """What the steps before it gave."""


def chain(journal: Journal, steps: Sequence[str], value: Any, retries: RetryPolicy, arguments: Mapping[str, Any]) -> Yields:
    """Do the steps in order; each is given `arguments` and the `value` that the one before it gave as its `result`."""
    results: list[Any] = []
    for name in steps:
        done = yield from journal.attempt(name, {**arguments, "value": value}, retries=retries)
        if isinstance(done, Failed):
            raise ChainFailedError(name, done.error, results)
        value = done["result"]
        results.append(value)
    return results
