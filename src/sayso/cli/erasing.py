"""What `sayso person erase` does: look whether anything is in the way, erase, purge, say what nobody here can reach."""

from __future__ import annotations

import dataclasses
from typing import Any

from sayso.cli.output import out, print_json, printable, say
from sayso.errors import RefusedError, TransientError
from sayso.ledger import Ledger
from sayso.ledger.database import Transaction
from sayso.ledger.erasing import OUT_OF_REACH, Erasure, erase, why_not
from sayso.prune import purge_forgotten
from sayso.stack_address import StackAddress, find_stack


def erase_person(person: str, actor: str, reason: str, *, dry_run: bool, with_engine: bool, as_json: bool) -> int:
    """Erase, or say why not; returns the exit code."""
    stack = find_stack()
    ledger = stack.ledger()

    def judge(tx: Transaction) -> tuple[list[str], Erasure | None]:
        in_the_way = why_not(tx, person)
        done = None if in_the_way or dry_run else erase(tx, person, actor=actor, reason=reason)
        return in_the_way, done

    try:
        in_the_way, done = ledger.read(judge) if dry_run else ledger.transact(judge)
        purged = _purge(stack, ledger) if done is not None and with_engine else None
    finally:
        ledger.close()
    document = {"erased": dataclasses.asdict(done) if done is not None else None, "in_the_way": in_the_way, "purged": purged}
    if as_json:
        print_json({**document, "out_of_reach": OUT_OF_REACH})
    else:
        _tell(person, in_the_way, done, purged)
    return RefusedError.exit_code if in_the_way else 0


def _purge(stack: StackAddress, ledger: Ledger) -> int | None:
    try:
        return purge_forgotten(ledger, stack.engine())
    except TransientError as error:
        say(("histories in the engine are left to the next `sayso ledger prune`: ", "yellow"), printable(error))
        return None


def _tell(person: str, in_the_way: list[str], done: Erasure | None, purged: Any) -> None:
    console = out()
    for why in in_the_way:
        console.print(printable(why), markup=False)
    if in_the_way:
        say(("nothing was erased", "yellow"))
        return
    if done is not None:
        for name, count in {**done.rows, "audit": done.entries}.items():
            console.print(f"{count:>8,}  rows of {name}", markup=False)
        if done.kept_entries:
            console.print(
                f"{done.kept_entries:>8,}  audit entries of an earlier version stay: their seal is over the words", markup=False
            )
        console.print(f"{purged or 0:>8,}  histories purged in the engine", markup=False)
    say(f"nobody here can reach, of {printable(person)}:")
    for place in OUT_OF_REACH:
        say(f"  - {place}")
