"""`sayso audit verify`: whether anybody changed what the audit log says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.cli.output import Json

audit_app = typer.Typer(no_args_is_help=True, help="The audit log: who did what, chained so that changes show.")


@audit_app.command()
def verify(
    anchors: Annotated[
        list[Path] | None,
        typer.Option("--anchors", metavar="FILE", help="Anchors kept elsewhere: a log, or events of the topic, one a line."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the whole chain with its key and all known anchors. Exit code 1 when something was changed or is missing."""
    from sayso.cli.auditing import verify_chain  # noqa: PLC0415 - database drivers take a moment to load

    raise typer.Exit(verify_chain(anchors or [], as_json=as_json))
