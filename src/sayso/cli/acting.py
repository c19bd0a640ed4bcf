"""Acting on a case: what was asked, and what came of it in the engine.

In: the case that a person means and an act. Out: an answer and an exit code. The act is a row of the ledger; the running stack carries
it out, and without one it waits there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sayso.cli.output import argument, out, print_json, printable, say
from sayso.errors import RefusedError, TransientError
from sayso.ledger.acts import Asked
from sayso.ledger.states import EventState
from sayso.stack_address import find_stack
from sayso.workflows import ENDED, Workflows

T = TypeVar("T")
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Meant:
    """What a person typed to name a case."""

    reference: str
    workflow: str | None = None
    generation: int | None = None


def show_status(meant: Meant, *, wait_seconds: float, as_json: bool) -> int:
    """Print the status, with `wait_seconds` once it has ended; returns the exit code."""
    stack = find_stack()
    ledger = stack.ledger()
    try:
        workflows = Workflows(ledger, stack.settings)
        instance_id = workflows.find(meant.reference, meant.workflow, meant.generation)
        status = workflows.status_of(instance_id)
        deadline = time.monotonic() + wait_seconds
        while wait_seconds and status["runtimeStatus"] not in ENDED and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            status = workflows.status_of(instance_id)
    finally:
        ledger.close()
    if as_json:
        print_json(status)
    else:
        out().print(f"{status['runtimeStatus']}  {printable(status['instanceID'])}", markup=False)
    return TransientError.exit_code if wait_seconds and status["runtimeStatus"] not in ENDED else 0


def carry_out(act: str, meant: Meant, user: str, reason: str, *, wait_seconds: float, as_json: bool, **more: str | None) -> int:
    """Ask for the act, wait for the engine, or the gate, say what came of it; returns the exit code."""
    stack = find_stack()
    ledger = stack.ledger()
    try:
        workflows = Workflows(ledger, stack.settings)
        ask: Callable[..., Asked] = getattr(workflows, act)
        asked = ask(workflows.find(meant.reference, meant.workflow, meant.generation), actor=user, reason=reason, **more)
        engine = _wait(workflows, asked.number, wait_seconds)
        state, engine = _await_gate(workflows, asked.event, wait_seconds) if asked.event is not None else (None, engine)
    finally:
        ledger.close()
    if as_json:
        print_json({"act": act, "done": asked.done, "case": asked.case, "reason": asked.reason, "engine": engine})
    else:
        _show(asked, engine)
    if not asked.done or state not in (None, EventState.CONSUMED):
        return RefusedError.exit_code
    return 0 if engine is not None or (asked.number is None and asked.event is None) else TransientError.exit_code


def _wait(workflows: Workflows, number: int | None, wait_seconds: float) -> str | None:
    deadline = time.monotonic() + wait_seconds
    answer = None
    while number is not None and (answer := workflows.carried_out(number)) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return answer


def _await_gate(workflows: Workflows, event: int, wait_seconds: float) -> tuple[str | None, str | None]:
    """State and reason of the event by which it was asked for."""
    deadline = time.monotonic() + wait_seconds
    while (became := workflows.became_of(event)) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return (became[0], f"{became[0]}: {became[1]}") if became is not None else (None, None)


def _show(asked: Asked, engine: str | None) -> None:
    if not asked.done:
        say(("nothing was done", "yellow"), f": {printable(asked.case)}: {printable(asked.reason)}")
        return
    out().print(f"{printable(asked.case)}: {printable(asked.reason)}", markup=False)
    if engine is not None:
        say(printable(engine))
    elif asked.event is not None:
        say(("its workflow has not met it within the time", "yellow"), f"; see: sayso event '#{asked.event}'")
    elif asked.number is not None:
        say(("the engine was not told within the time", "yellow"), "; it will be: sayso status")
    say(f"see: sayso case {argument(asked.case, asked.case)}")
