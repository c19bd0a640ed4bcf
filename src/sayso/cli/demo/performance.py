"""One performance of the demo: the stack found, the story played, what to type next."""

from __future__ import annotations

import time

from sayso.cli.demo.broker import connect
from sayso.cli.demo.stage import Stage
from sayso.cli.demo.story import Order, play
from sayso.cli.output import err, out, print_json
from sayso.stack_address import StackAddress, find_stack


def perform(*, as_json: bool) -> None:
    """Play it; an error says what did not come true. With `as_json` the narration goes to stderr and the facts to stdout."""
    stack = find_stack()
    console = err() if as_json else out()
    broker = connect(stack.state) if stack.state is not None else None
    publisher, ledger = stack.publisher(), stack.ledger()
    stage = Stage(console, ledger, publisher, broker)
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
    console.print("\nWhat to type next:", style="bold")
    for command, meaning in (
        (f"sayso case {order.order_id}", "everything that happened to the first order, in order"),
        (f"sayso case {early.order_id}", "the one whose payment came first"),
        ("sayso events", "every event, with its state and the reason"),
        ("sayso cases", "every case"),
        ("sayso notices", "what people were told"),
        ("sayso publish FILE --fill", "send an event of your own; `sayso explain FILE` says before what would happen"),
        ("sayso decide KEY approve --as bob", "decide on a case; `sayso tasks` lists what waits"),
    ):
        console.print(f"  {command:<36} {meaning}", markup=False)
