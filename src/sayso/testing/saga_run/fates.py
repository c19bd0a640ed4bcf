"""Fates: for one seed, one saga of each workflow, what goes wrong with it, and how it must end.

In: a seed. Out: rules for the partner service, the outcome that is right. The seed's number walks through the steps and the ways in
which they fail; the rest is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A workflow: its event, its steps as (activity, resource, can be undone)."""

    event_type: str
    topic: str
    key_field: str
    steps: tuple[tuple[str, str, bool], ...]
    request: Mapping[str, Any]


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "task_processing_saga": Kind(
            "com.acme.task.submitted.v1",
            "tasks",
            "task_id",
            (
                ("create_task_record", "records", True),
                ("reserve_assignee_capacity", "capacity", True),
                ("notify_assignee", "notifications", True),
                ("update_dashboard", "dashboard", False),
            ),
            {"title": "Inspect", "assignee": "bob", "priority": "high"},
        ),
        "order_saga": Kind(
            "com.acme.order.placed.v1",
            "orders",
            "order_id",
            (("reserve_inventory", "inventory", True), ("process_payment", "payments", True), ("ship_order", "shipments", True)),
            {"product": "cable", "quantity": 2, "amount": "480.00", "currency": "EUR"},
        ),
        "book_trip": Kind(
            "com.acme.trip.requested.v1",
            "trips",
            "trip_id",
            (("book_flight", "flights", True), ("book_hotel", "hotels", True), ("book_car", "cars", True)),
            {"traveller": "carol", "destination": "Vienna"},
        ),
    }
)
UNDONE_FOR_GOOD = ("fails", "refused", "answer lost")
HOW_A_DO_ENDS_IT = ("fails", "refused", "answer lost")
"""Fails: nothing is performed, ever. Refused: 409. Answer lost: performed, and never said so."""


@dataclass(frozen=True)
class Fate:
    """One saga."""

    workflow: str
    key: str
    failing: int | None
    """Which step fails for good; None: none."""
    how: str = ""
    undo_fails: Mapping[int, str] = field(default_factory=dict)
    passing: Sequence[tuple[int, bool]] = ()
    """Steps (and undos: True) that fail once or twice, and then work."""
    paid_early: bool = False

    @property
    def kind(self) -> Kind:
        """Its workflow."""
        return KINDS[self.workflow]

    @property
    def undone(self) -> list[int]:
        """The steps that must be undone: those that were done or may have been, the last first."""
        if self.failing is None:
            return []
        end = self.failing if self.how == "refused" else self.failing + 1
        return [index for index in reversed(range(end)) if self.kind.steps[index][2]]

    @property
    def unsettled(self) -> set[str]:
        """The steps that a person must settle."""
        return {self.kind.steps[index][0] for index in self.undone if index in self.undo_fails}

    @property
    def outcome(self) -> str:
        """How its case must end."""
        if self.failing is None:
            return "completed"
        return "failed" if self.unsettled else "compensated"

    def rules(self) -> list[dict[str, Any]]:
        """What the partner service is told."""
        found = []
        for index, undo in self.passing:
            after = (index + len(self.key)) % 2 == 0
            found.append(self._rule(index, undo=undo, status=503, after=after, times=1 + index % 2))
        if self.failing is not None:
            found.append(self._rule(self.failing, undo=False, **STATUSES[self.how]))
        found += [self._rule(index, undo=True, **STATUSES[how]) for index, how in self.undo_fails.items()]
        return found

    def _rule(self, index: int, **rule: Any) -> dict[str, Any]:
        return {"resource": self.kind.steps[index][1], "subject": self.key, **rule}


STATUSES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"fails": {"status": 503}, "refused": {"status": 409}, "answer lost": {"status": 503, "after": True}}
)


def fates_of(seed: int) -> list[Fate]:
    """One saga of each workflow."""
    return [_fate(workflow, seed, random.Random(f"{seed}/{workflow}")) for workflow in KINDS]  # noqa: S311 - a plan, no secret


def _fate(workflow: str, seed: int, rng: random.Random) -> Fate:
    steps = KINDS[workflow].steps
    key = f"{workflow.replace('_', '-')}-{seed}"
    failing, how = _failure(seed, rng, len(steps))
    undoable = [index for index in range(len(steps)) if steps[index][2]]
    undone = Fate(workflow, key, failing, how).undone
    undo_fails: dict[int, str] = {}
    if undone and rng.random() < 0.4:
        undo_fails = {rng.choice(undone): rng.choice(UNDONE_FOR_GOOD)}
    passing = [(index, undo) for index in range(len(steps)) for undo in (False, True) if rng.random() < 0.15]
    passing = [
        (index, undo)
        for index, undo in passing
        if (index in undoable or not undo) and (index not in undo_fails or not undo) and (index != failing or undo)
    ]
    paid_early = workflow == "order_saga" and rng.random() < 0.2 and failing != 1
    if paid_early:
        passing = [(index, undo) for index, undo in passing if index != 1]
        undo_fails.pop(1, None)
    return Fate(workflow, key, failing, how, undo_fails, passing, paid_early)


def _failure(seed: int, rng: random.Random, steps: int) -> tuple[int | None, str]:
    if rng.random() < 0.15:
        return None, ""
    return seed % steps, HOW_A_DO_ENDS_IT[seed // steps % len(HOW_A_DO_ENDS_IT)]
