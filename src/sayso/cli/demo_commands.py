"""`sayso demo`: the whole story on the running stack."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.output import Json


def demo(
    stop: Annotated[bool, typer.Option("--stop", help="Stop the local stack afterwards, whatever came of it.")] = False,
    as_json: Json = False,
) -> None:
    """Play the story: an order is requested, approved, placed and paid, with everything that happens on the way.

    Needs a running stack (`sayso up --detach`), uses fresh orders every time and touches nothing else. Exit code 0 only if every
    step came true, otherwise 1 and what was missing.
    """
    from sayso.cli.demo.performance import perform  # noqa: PLC0415 - gRPC and database drivers take a moment to load

    try:
        perform(as_json=as_json)
    finally:
        if stop:
            from sayso.cli.stack_commands import down  # noqa: PLC0415 - only then
            from sayso.settings import load_settings  # noqa: PLC0415 - only then

            down(state_dir=load_settings().state_dir)
