"""Questions about cases: which there are, and which one a person means."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, or_, select, true

from sayso.config_file import did_you_mean
from sayso.contracts.cases import Outcome
from sayso.errors import ConfigurationError
from sayso.ledger.database import Transaction
from sayso.ledger.queries.views import CaseView, case_view
from sayso.ledger.schema import cases, steps, tasks

PHASES = ("starting", "running", "closed")
PAYMENT_STAGE, PAYMENT_BEGINS = "waits for payment", "place_order"


def status_filter(status: str | None) -> ColumnElement[bool]:
    """`open`, a phase or an outcome as a condition; `ConfigurationError` names the nearest valid word."""
    if status is None:
        return true()
    if status == "open":
        return cases.c.phase != "closed"
    if status in PHASES:
        return cases.c.phase == status
    outcomes = [outcome.value for outcome in Outcome]
    if status not in outcomes:
        raise ConfigurationError(f'no status "{status}"{did_you_mean(status, ["open", *PHASES, *outcomes])}')
    return cases.c.outcome == status


def list_cases(
    tx: Transaction,
    condition: ColumnElement[bool],
    workflow: str | None = None,
    limit: int = 20,
    after: tuple[int, str] | None = None,
) -> list[CaseView]:
    """The latest cases, newest first; `after` the one that was opened at that time (ms) and has that instance id."""
    query = select(cases).where(condition).order_by(cases.c.opened_at_ms.desc(), cases.c.instance_id).limit(limit)
    if after is not None:
        opened = cases.c.opened_at_ms
        query = query.where(or_(opened < after[0], and_(opened == after[0], cases.c.instance_id > after[1])))
    return _views(tx, tx.all(query.where(cases.c.workflow == workflow) if workflow else query))


def count_cases(tx: Transaction, condition: ColumnElement[bool], workflow: str | None = None) -> int:
    """How many there are of them in all."""
    query: Select[Any] = select(func.count()).select_from(cases).where(condition)
    row = tx.one(query.where(cases.c.workflow == workflow) if workflow else query)
    return int(row[0]) if row is not None else 0


def find_cases(tx: Transaction, reference: str, workflow: str | None = None, generation: int | None = None) -> list[CaseView]:
    """The cases that a person may mean by a key or an instance id: the latest generation for each workflow."""
    query = select(cases).where(or_(cases.c.key == reference, cases.c.instance_id == reference))
    if workflow is not None:
        query = query.where(cases.c.workflow == workflow)
    if generation is not None:
        query = query.where(cases.c.generation == generation)
    latest: dict[tuple[str, str], Row[Any]] = {}
    for row in tx.all(query.order_by(cases.c.workflow, cases.c.generation)):
        latest[row.workflow, "" if row.key == reference else row.instance_id] = row
    return _views(tx, latest.values())


def case_by_id(tx: Transaction, instance_id: str) -> CaseView | None:
    """The case of this instance id."""
    found = tx.one(select(cases).where(cases.c.instance_id == instance_id))
    return _views(tx, [found])[0] if found is not None else None


def _views(tx: Transaction, rows: Iterable[Row[Any]]) -> list[CaseView]:
    found = list(rows)
    until = _ends_of_waits(tx, [row for row in found if row.phase != "closed"])
    return [case_view(row, until.get(row.instance_id)) for row in found]


def _ends_of_waits(tx: Transaction, open_cases: list[Row[Any]]) -> dict[str, int]:
    """Until when each of them waits: its open task's due time, or the payment's, which counts from the order's placing."""
    if not open_cases:
        return {}
    ids = [row.instance_id for row in open_cases]
    open_tasks = select(tasks.c.instance_id, tasks.c.due_at_ms).where(tasks.c.instance_id.in_(ids), tasks.c.state == "open")
    until: dict[str, int] = {}
    for row in tx.all(open_tasks):  # of several stages, the one whose time is over first
        until[row.instance_id] = min(int(row.due_at_ms), until.get(row.instance_id, row.due_at_ms))
    placed_query = select(steps.c.instance_id, steps.c.done_at_ms).where(steps.c.instance_id.in_(ids), steps.c.step == PAYMENT_BEGINS)
    placed = {row.instance_id: int(row.done_at_ms) for row in tx.all(placed_query)}
    for row in open_cases:
        seconds = json.loads(row.input).get("plan", {}).get("payment_timeout_seconds")
        if row.stage == PAYMENT_STAGE and seconds and row.instance_id in placed:
            until[row.instance_id] = placed[row.instance_id] + int(seconds * 1000)
    return until
