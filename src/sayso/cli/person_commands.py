"""`sayso person erase`: what the ledger knows of a person is taken out."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.output import Json
from sayso.cli.workflow_commands import Actor, Reason

person_app = typer.Typer(no_args_is_help=True, help="People, as the ledger knows them.")


@person_app.callback()
def _people() -> None:
    """A group, also with one command."""


@person_app.command()
def erase(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="The id, as events and decisions have it.")],
    actor: Actor,
    reason: Reason,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say whether anything is in the way, and what could not be reached.")
    ] = False,
    without_engine: Annotated[
        bool, typer.Option("--without-engine", help="Leave the histories of ended instances to the next `sayso ledger prune`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Erase a person from events, cases, tasks, notices and the audit log, whose chain still verifies.

    Refused (code 4) while an open case, an event on its way or something unsent is about them. It cannot be taken back.
    """
    from sayso.cli.erasing import erase_person  # noqa: PLC0415 - database drivers take a moment to load

    raise typer.Exit(erase_person(person, actor, reason, dry_run=dry_run, with_engine=not without_engine, as_json=as_json))
