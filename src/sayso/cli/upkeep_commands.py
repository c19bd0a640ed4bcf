"""`sayso backup`, `sayso restore`, `sayso ledger upgrade|prune`, `sayso config check`: what is done around the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.cli.output import Json

ledger_app = typer.Typer(no_args_is_help=True, help="The ledger: the tables that hold events and cases.")
config_app = typer.Typer(no_args_is_help=True, help="The configuration: bindings, settings, directory, policies, services.")


@ledger_app.command()
def upgrade(as_json: Json = False) -> None:
    """Create the ledger's tables or bring them to this version. Safe to run again, and while others start."""
    from sayso.cli.upkeep import upgrade_ledger  # noqa: PLC0415 - database drivers take a moment to load

    upgrade_ledger(as_json=as_json)


@ledger_app.command()
def prune(
    older_than: Annotated[str, typer.Option("--older-than", metavar="DURATION", help="How long a case must be over: P90D, P1Y.")],
    actor: Annotated[str | None, typer.Option("--as", metavar="USER", help="Who prunes, for the audit log; by default you.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much would go.")] = False,
    without_engine: Annotated[
        bool, typer.Option("--without-engine", help="Do not ask the engine whether instances have ended; a later run purges them.")
    ] = False,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Give the room back to the system; writers wait meanwhile.")] = False,
    as_json: Json = False,
) -> None:
    """Take cases that are long over out of ledger and engine. Tombstones stay, so that their events and keys are known again.

    Safe beside a running stack, and to run again after it was stopped.
    """
    from sayso.cli.pruning import prune_ledger  # noqa: PLC0415 - database drivers take a moment to load

    prune_ledger(older_than, actor, dry_run=dry_run, with_engine=not without_engine, vacuum=vacuum, as_json=as_json)


@config_app.command()
def check(as_json: Json = False) -> None:
    """Read the whole configuration as the processes do. Exit code 2 with file, line and the nearest word when it is wrong."""
    from sayso.cli.upkeep import check_configuration  # noqa: PLC0415 - CEL takes a moment to load

    check_configuration(as_json=as_json)


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    as_json: Json = False,
) -> None:
    """Write the whole ledger, as it is now, to one SQLite file. The stack may be running."""
    from sayso.cli.upkeep import back_up_ledger  # noqa: PLC0415 - database drivers take a moment to load

    back_up_ledger(file, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `sayso backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also when the ledger has events: they are lost.")] = False,
    as_json: Json = False,
) -> None:
    """Put the ledger back to what it was when the backup was written. Stop subscribers and workers first.

    When they start again, they ask the engine for what the ledger does not know, and go on.
    """
    from sayso.cli.upkeep import restore_ledger  # noqa: PLC0415 - database drivers take a moment to load

    restore_ledger(file, replace=replace, as_json=as_json)
