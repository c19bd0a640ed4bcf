"""Cases under virtual time; every one of them is replayed when its test has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from case_run import CaseRun

from sayso.settings import Settings

OpenCase = Callable[..., CaseRun]


@pytest.fixture
def open_case() -> Iterator[OpenCase]:
    """Open a case: workflow, key, request, and optionally settings and refusals."""
    opened = []

    def open_one(workflow: str, key: str, request: dict[str, Any], **options: Any) -> CaseRun:
        case = CaseRun(workflow, key, request, options.pop("settings", Settings()), **options)
        opened.append(case)
        return case

    yield open_one
    for case in opened:
        case.run.check_replay()
        assert case.run.status != "FAILED" or case.case.workflow == "book_trip", case.run.failure


@pytest.fixture
def open_order(open_case: OpenCase) -> OpenCase:
    """Open a purchase order of 1200.00 EUR by alice; fields and options can be changed."""

    def open_one(settings: Settings | None = None, refusals: dict[str, str] | None = None, **changed: Any) -> CaseRun:
        order = {"order_id": "PO-1", "cost": "1200.00", "product": "bolts", "quantity": 3, "currency": "EUR", "requester": "alice"}
        return open_case("purchase_order_workflow", "PO-1", order | changed, settings=settings or Settings(), refusals=refusals)

    return open_one


@pytest.fixture
def open_request(open_case: OpenCase) -> OpenCase:
    """Open a request of 1000 USD by alice; fields and options can be changed."""

    def open_one(settings: Settings | None = None, refusals: dict[str, str] | None = None, **changed: Any) -> CaseRun:
        request = {"request_id": "R-1", "requester": "alice", "amount": "1000", "currency": "USD", "description": "a chair"}
        return open_case("approval_workflow", "R-1", request | changed, settings=settings or Settings(), refusals=refusals)

    return open_one


@pytest.fixture
def open_task(open_case: OpenCase) -> OpenCase:
    """Open a task of high priority for carol, asked for by alice; fields and options can be changed."""

    def open_one(settings: Settings | None = None, refusals: dict[str, str] | None = None, **changed: Any) -> CaseRun:
        task = {"task_id": "T-1", "title": "Inspect", "assignee": "carol", "priority": "high", "requester": "alice"}
        return open_case("task_approval_workflow", "T-1", task | changed, settings=settings or Settings(), refusals=refusals)

    return open_one
