"""The lists of cases and of open approval tasks."""

from __future__ import annotations

from functools import partial

from sayso.cli.output import argument, out, print_json, printable, say, shortened, styled, table, when
from sayso.ledger.queries.cases import count_cases, list_cases, status_filter
from sayso.ledger.queries.overview import list_tasks
from sayso.ledger.queries.views import CaseView
from sayso.stack_address import find_stack

KEY_WIDTH = 40


def show_cases(status: str | None, workflow: str | None, limit: int, *, as_json: bool) -> None:
    """The newest cases, and how many more there are."""
    condition = status_filter(status)
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(list_cases, condition=condition, workflow=workflow, limit=limit))
        total = ledger.read(partial(count_cases, condition=condition, workflow=workflow))
    finally:
        ledger.close()
    if as_json:
        print_json(found)
        return
    if not found:
        say("no cases" + (f" that are {status}" if status else ""))
        return
    headings = ("KEY", "WORKFLOW", "STATUS", "NOW", "OPENED", "INSTANCE")
    rows = (
        (shortened(case.key, KEY_WIDTH), case.workflow, styled(case.status), _now(case), when(case.opened_at), case.instance_id)
        for case in found
    )
    out().print(table(headings, rows))
    if total > len(found):
        say(f"{len(found)} of {total}; more with --limit")


def _now(case: CaseView) -> str:
    if case.phase == "closed":
        return shortened(case.reason or ", ".join(case.milestones), KEY_WIDTH)
    trouble = f"; {case.last_error}" if case.last_error else ""
    return shortened((case.stage or "") + trouble, 2 * KEY_WIDTH)


def show_tasks(limit: int, *, as_json: bool) -> None:
    """Open approval tasks."""
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(list_tasks, limit=limit))
    finally:
        ledger.close()
    if as_json:
        print_json(found)
        return
    if not found:
        say("no open approval tasks")
        return
    headings = ("KEY", "WHAT", "ASKED", "REQUESTER", "UNTIL", "WORKFLOW")
    rows = (
        (
            shortened(task.key, KEY_WIDTH),
            shortened(task.what, 2 * KEY_WIDTH),
            printable(task.assigned_to),
            shortened(task.requester or "-", KEY_WIDTH),
            when(task.due_at),
            task.workflow,
        )
        for task in found
    )
    out().print(table(headings, rows))
    say(f"decide: sayso decide {argument(found[0].key, found[0].case)} approve|reject --as USER")
