"""`sayso policy apply --to-waiting`: cases that wait are planned by the policies and the directory of today.

In: the open cases that a plan decides on. Out: for each whose plan would be another one an event, which goes the way of every change
of an approval, through the gate; and a table of what became of it. The running stack plans: it must have been started with these
policies.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from sayso.cli.output import out, print_json, printable, say, table
from sayso.cli.policy_simulating import IN_WORDS, kind_of_change
from sayso.contracts.approval_plan import ApprovalPlan
from sayso.errors import MalformedError, RefusedError, TransientError
from sayso.ledger.database import Transaction
from sayso.ledger.planning import current_document
from sayso.ledger.schema import cases
from sayso.ledger.states import EventState
from sayso.policy.rulebook import Rulebook, load_rulebook
from sayso.policy.schedule import chain_in_words
from sayso.stack_address import find_stack
from sayso.workflows import Workflows

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Wanted:
    """Who wants it, why, of which workflow's cases, and how long each may take."""

    actor: str
    reason: str
    workflow: str | None
    timeout_seconds: float


@dataclass
class Waiting:
    """One case that waits, and its plan then and now."""

    instance_id: str
    workflow: str
    key: str
    before: str
    after: str
    change: str
    became: str = "would be asked for"


def apply_to_waiting(wanted: Wanted, *, dry_run: bool, as_json: bool) -> int:
    """Plan anew and say what came of it; returns the exit code."""
    stack = find_stack()
    ledger = stack.ledger()
    try:
        rulebook = load_rulebook(stack.settings)
        found = ledger.read(lambda tx: _waiting(tx, rulebook, wanted.workflow))
        concerned = [case for case in found if case.change not in ("same", "refused")]
        code = 0 if dry_run else _carry_out(Workflows(ledger, stack.settings), concerned, wanted)
    finally:
        ledger.close()
    for case in found:
        if case.change in ("same", "refused"):
            case.became = "stays as it is"
    if as_json:
        print_json({"waiting": len(found), "cases": found})
        return code
    if len(concerned) < len(found):
        say(f"{len(found) - len(concerned)} of {len(found)} waiting cases stay as they are")
    if concerned:
        headings = ("WORKFLOW", "KEY", "ASKED SO FAR", "ASKED NOW", "CHANGE", "BECAME")
        out().print(table(headings, map(_cells, concerned)))
    return code


def _waiting(tx: Transaction, rulebook: Rulebook, workflow: str | None) -> list[Waiting]:
    query = select(cases).where(cases.c.phase != "closed").order_by(cases.c.opened_at_ms, cases.c.instance_id)
    rows = tx.all(query if workflow is None else query.where(cases.c.workflow == workflow))
    documents = [(row, current_document(row)) for row in rows]
    return [_compared(row, given, rulebook) for row, given in documents if given["plan"].get("approval_begun")]


def _compared(row: Any, given: dict[str, Any], rulebook: Rulebook) -> Waiting:
    before = ApprovalPlan.model_validate(given["plan"]["approval"])
    try:
        after = rulebook.plan_for(row.workflow, given["request"], datetime.now(UTC))
    except MalformedError as error:
        return Waiting(row.instance_id, row.workflow, row.key, chain_in_words(before), str(error), "refused")
    if after is None:
        return Waiting(row.instance_id, row.workflow, row.key, chain_in_words(before), "no policy", "refused")
    change = kind_of_change(before, after)
    return Waiting(row.instance_id, row.workflow, row.key, chain_in_words(before), chain_in_words(after), change)


def _carry_out(workflows: Workflows, concerned: list[Waiting], wanted: Wanted) -> int:
    asked = [(case, workflows.replan(case.instance_id, actor=wanted.actor, reason=wanted.reason)) for case in concerned]
    code = 0
    for case, answer in asked:
        if answer.event is None:
            case.became, code = answer.reason, RefusedError.exit_code
            continue
        deadline = time.monotonic() + wanted.timeout_seconds
        while (became := workflows.became_of(answer.event)) is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if became is None:
            case.became, code = "its workflow has not met it in time", code or TransientError.exit_code
        else:
            case.became = "planned anew" if became[0] == EventState.CONSUMED else f"{became[0]}: {became[1]}"
            code = code if became[0] == EventState.CONSUMED else RefusedError.exit_code
    return code


def _cells(case: Waiting) -> list[str]:
    return [printable(each) for each in (case.workflow, case.key, case.before, case.after, IN_WORDS[case.change], case.became)]
