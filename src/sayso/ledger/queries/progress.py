"""How far a case is, where that can be counted: one step for each of so many items (`Counted` of the catalog).

In: a case. Out: how many of how many. The ledger alone tells it, so it is known while the engine is away.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from sayso.contracts.catalog import WORKFLOWS
from sayso.ledger.database import Transaction
from sayso.ledger.queries.views import CaseView
from sayso.ledger.schema import steps


@dataclass(frozen=True)
class Progress:
    """`done` of `of` items; the latest of them at `last_at_ms`."""

    done: int
    of: int
    noun: str
    step: str
    last_at_ms: int | None


def progress_of(tx: Transaction, case: CaseView) -> Progress | None:
    """None for a case that does not count."""
    counted = WORKFLOWS[case.workflow].counted
    if counted is None:
        return None
    (row,) = tx.all(_DONE, {"instance_id": case.instance_id, "step": counted.step})
    return Progress(int(row.done), int(case.request[counted.of]), counted.noun, counted.step, row.last_at_ms)


_DONE = select(func.count().label("done"), func.max(steps.c.done_at_ms).label("last_at_ms")).where(
    steps.c.instance_id == bindparam("instance_id"), steps.c.step == bindparam("step")
)
