"""One performance of the demo: the stack found, the story played, what to type next."""

from __future__ import annotations

import shutil
import sys
import time
from functools import partial
from pathlib import Path

from sayso.cli.demo.broker import connect
from sayso.cli.demo.payment_system import payment_system_of
from sayso.cli.demo.stage import Stage
from sayso.cli.demo.story import Order, play
from sayso.cli.output import err, out, print_json
from sayso.cli.signing import sign_where_needed
from sayso.stack_address import StackAddress, find_stack

EXAMPLE = "examples/events/purchase-requested.json"


def perform(*, as_json: bool) -> None:
    """Play it; an error says what did not come true. With `as_json` the narration goes to stderr and the facts to stdout."""
    stack = find_stack()
    console = err() if as_json else out()
    broker = connect(stack.state) if stack.state is not None else None
    publisher, ledger = stack.publisher(), stack.ledger()
    payments = payment_system_of(stack.state) if stack.state is not None else None
    stage = Stage(console, ledger, publisher, broker, partial(sign_where_needed, stack), payments)
    how = broker.how if broker is not None else "a Dapr app's publish call"
    console.print(f"The demo on {_stack_in_words(stack)}. Other systems publish with {how}.", markup=False)
    started = time.monotonic()
    try:
        order, early = play(stage, stack.settings.purchase.auto_approve_below)
    finally:
        publisher.close()
        ledger.close()
        if broker is not None:
            broker.close()
    seconds = time.monotonic() - started
    console.print(f"\nAll of it came true: approved and paid, in {seconds:.1f} s.", style="green", markup=False)
    if as_json:
        print_json({"ok": True, "seconds": round(seconds, 3), "orders": [order.order_id, early.order_id], "steps": stage.told})
    else:
        _next(order, early)


def _stack_in_words(stack: StackAddress) -> str:
    return f"{stack.state.broker} and {stack.state.ledger}" if stack.state is not None else "this stack"


def _next(order: Order, early: Order) -> None:
    console = out()
    sayso = _command()
    console.print("\nWhat to type next:", style="bold")
    for arguments, meaning in (
        (f"case {order.order_id}", "everything that happened to the first order, in order"),
        (f"case {early.order_id}", "the one whose payment came first"),
        ("events", "every event, with its state and the reason"),
        ("notices", "what people were told"),
        (f"explain {EXAMPLE}", "what would become of an event, without sending it"),
        (f"publish {EXAMPLE}", "send it: an order that waits for approval"),
        ("tasks", "what waits for a decision"),
        ("decide PO-1001 approve --as bob", "decide it"),
    ):
        console.print(f"  {sayso} {arguments:<52} {meaning}", markup=False)


def _command() -> str:
    """How this shell reaches us: the virtual environment need not be active."""
    if shutil.which("sayso"):
        return "sayso"
    here, script = Path.cwd(), Path(sys.argv[0]).absolute()
    return str(script.relative_to(here)) if script.is_relative_to(here) else str(script)
