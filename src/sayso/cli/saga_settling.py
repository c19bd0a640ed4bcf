"""The list of undos that failed, and the word of a person that one is settled."""

from __future__ import annotations

from functools import partial

from sayso.cli.case_page import Reference, the_case
from sayso.cli.output import argument, out, print_json, printable, say, shortened, table, when
from sayso.contracts.workflow_io import CaseRef
from sayso.errors import ConfigurationError
from sayso.ledger.compensations import settle
from sayso.ledger.queries.compensations import CompensationView, list_compensations
from sayso.stack_address import find_stack

WORDS_WIDTH = 50


def show_compensations(limit: int, *, also_settled: bool, as_json: bool) -> None:
    """Print them."""
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(list_compensations, limit=limit, also_settled=also_settled))
    finally:
        ledger.close()
    if as_json:
        print_json(found)
        return
    if not found:
        say("no saga has an undo that failed" + ("" if also_settled else " and is not settled"))
        return
    headings = ("KEY", "STEP", "UNDO", "ERROR", "FAILED", "SETTLED", "CASE")
    rows = (
        (
            shortened(each.key, WORDS_WIDTH),
            printable(each.step),
            printable(each.undo),
            shortened(each.error, WORDS_WIDTH),
            when(each.failed_at),
            _settled(each),
            each.case,
        )
        for each in found
    )
    out().print(table(headings, rows))
    still_open = next((each for each in found if each.settled_at is None), None)
    if still_open is not None:
        say(settle_command(still_open))


def settle_command(each: CompensationView) -> str:
    """What a person types when it is settled."""
    return f"settled with the service? sayso saga settle {argument(each.key, each.case)} {each.step} --reason TEXT --as USER"


def settle_compensation(reference: Reference, step: str, actor: str, reason: str, *, as_json: bool) -> None:
    """Record it; a refusal says why."""
    if not actor.strip():
        raise ConfigurationError("say who has settled it: --as USER; it is kept in the audit log")
    if not reason.strip():
        raise ConfigurationError('say what was done about it: --reason "the hotel confirmed by phone"')
    ledger = find_stack().ledger()
    try:
        view = ledger.read(partial(the_case, reference=reference))
        ref = CaseRef(
            workflow=view.workflow,
            key=view.key,
            generation=view.generation,
            instance_id=view.instance_id,
            opened_at=view.opened_at,
        )
        name = ledger.transact(partial(settle, case=ref, step=step, actor=actor.strip(), reason=reason.strip()))
    finally:
        ledger.close()
    if as_json:
        print_json({"case": view.instance_id, "step": name, "settled_by": actor.strip(), "reason": reason.strip()})
    else:
        out().print(f"{name} of {printable(view.key)} is settled", markup=False)


def _settled(each: CompensationView) -> str:
    return f"{each.settled_by}: {shortened(each.settled_reason or '', WORDS_WIDTH)}" if each.settled_at is not None else "-"
