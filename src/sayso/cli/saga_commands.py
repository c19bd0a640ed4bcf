"""`sayso saga`: what sagas could not undo, and who has settled it."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.case_commands import Limit
from sayso.cli.decide_commands import Workflow
from sayso.cli.output import Json

saga_app = typer.Typer(no_args_is_help=True, help="Undos of sagas that failed: see them, and say that one is settled.")


@saga_app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are settled.")] = False,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List undos that failed and that nobody has settled yet, the oldest first."""
    from sayso.cli.saga_settling import show_compensations  # noqa: PLC0415 - database drivers take a moment to load

    show_compensations(limit, also_settled=everything, as_json=as_json)


@saga_app.command()
def settle(
    case: Annotated[str, typer.Argument(metavar="CASE", help="The case: its business key, or its instance id.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that could not be undone, or its undo.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What was done about it; kept in the audit log.")] = "",
    workflow: Workflow = None,
    actor: Annotated[str, typer.Option("--as", metavar="USER", help="Who has settled it; kept in the audit log.")] = "",
    as_json: Json = False,
) -> None:
    """Say that an undo which failed is settled with its service. Nothing else changes; the case stays as it ended.

    Exit code: 0 settled; 1 there is no such case; 4 there is no such undo, or it is settled already.
    """
    from sayso.cli.case_page import Reference  # noqa: PLC0415 - database drivers take a moment to load
    from sayso.cli.saga_settling import settle_compensation  # noqa: PLC0415 - database drivers take a moment to load

    settle_compensation(Reference(case, workflow), step, actor, reason, as_json=as_json)
