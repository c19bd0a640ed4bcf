"""`sayso case` of a batch: a bar instead of a line for every item."""

from __future__ import annotations

from functools import partial

from answers import Sayso
from ledger_world import World

from sayso.contracts.workflow_io import CaseInput, StepInput
from sayso.ledger.schema import cases
from sayso.ledger.steps import complete_step

BATCH = {"batch_id": "B-1", "count": 40}


def work(world: World, items: int) -> None:
    """The case of B-1, with so many of its items done."""
    world.send("batches", "com.acme.batch.submitted.v1", BATCH)
    world.drive()
    (row,) = world.rows(cases)
    case = CaseInput.model_validate_json(row.input).case
    for number in range(items):
        step = StepInput(case=case, step="process_work_item", iteration=number)
        world.ledger.transact(partial(complete_step, step=step, result={"result": 2}))


def test_a_batch_shows_how_many_of_its_items_are_done(world: World, sayso: Sayso) -> None:
    work(world, 10)
    page = sayso("case", "B-1")
    assert "━" * 8 + "─" * 24 + "  10 of 40 items" in page.out
    assert "process_work_item" not in page.out
    progress = sayso("case", "B-1", "--json").json["progress"]
    assert (progress["done"], progress["of"], progress["noun"]) == (10, 40, "items")


def test_a_case_that_does_not_count_has_no_bar(world: World, sayso: Sayso) -> None:
    world.buy()
    assert "progress" not in sayso("case", "PO-1").out
    assert sayso("case", "PO-1", "--json").json["progress"] is None
