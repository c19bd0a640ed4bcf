"""The partner service in memory: the witness of what truly happened, as examples/partners does it.

In: calls with an idempotency key. Out: an effect the first time, the same answer every other time; for some subjects a refusal. What
is cancelled stays cancelled, also for a request that comes late. Its answer may be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sayso.errors import RefusedError, TransientError
from sayso.simulator.observed import Effect
from sayso.simulator.scheduler import Scheduler

REFUSED = "refused by policy"
KINDS = {
    "orders": ("orders.placed", "order_id"),
    "actions": ("actions.executed", "request_id"),
    "tasks": ("tasks.assigned", "task_id"),
}


class SimulatedPartners:
    """A `PartnerClient` as activities call it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.effects: dict[str, Effect] = {}
        self.calls: dict[str, int] = {}
        self._answers: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._cancelled: set[tuple[str, str]] = set()
        self._scheduler = scheduler

    def call(self, path: str, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        """See `PartnerClient.call`."""
        scheduler = self._scheduler
        scheduler.point()
        if scheduler.rng.random() < scheduler.weather.engine_down:
            raise TransientError("the partner did not answer")
        self.calls[idempotency_key] = self.calls.get(idempotency_key, 0) + 1
        answer = self._perform(path, body, idempotency_key)
        scheduler.point()
        if scheduler.rng.random() < scheduler.weather.lost_answer:
            raise TransientError("the partner's answer was lost")
        if answer is None:
            raise RefusedError(REFUSED)
        return answer

    def _perform(self, path: str, body: Mapping[str, Any], key: str) -> dict[str, Any] | None:
        known = self._answers.get(key)
        if known is not None:
            asked, answer = known
            assert asked == (path, dict(body)), f"the key {key} was used for something else"
            return answer
        kind, subject_field = KINDS[path.split("/")[1]]
        cancel = path.endswith("/cancel")
        subject, case = body[subject_field], key.rsplit("/", 2)[0]
        if cancel:
            kind = "orders.cancelled"
        elif "refuse" in subject:
            self.effects[key] = Effect(key, kind, subject, case=case, refused=True)
            return None
        done = (kind.partition(".")[0], case) not in self._cancelled
        if cancel:
            self._cancelled.add(("orders", case))
        if done:
            self.effects[key] = Effect(key, kind, subject, case=case)
        answer = {"status": kind if done else "cancelled"}
        self._answers[key] = ((path, dict(body)), answer)
        return answer
