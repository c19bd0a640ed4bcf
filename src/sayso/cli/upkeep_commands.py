"""`sayso ledger upgrade`, `sayso config check`: before something is started."""

from __future__ import annotations

import typer

from sayso.cli.output import Json

ledger_app = typer.Typer(no_args_is_help=True, help="The ledger: the tables that hold events and cases.")
config_app = typer.Typer(no_args_is_help=True, help="The configuration: bindings, settings, directory, services.")


@ledger_app.command()
def upgrade(as_json: Json = False) -> None:
    """Create the ledger's tables or bring them to this version. Safe to run again, and while others start."""
    from sayso.cli.upkeep import upgrade_ledger  # noqa: PLC0415 - database drivers take a moment to load

    upgrade_ledger(as_json=as_json)


@config_app.command()
def check(as_json: Json = False) -> None:
    """Read the whole configuration as the processes do. Exit code 2 with file, line and the nearest word when it is wrong."""
    from sayso.cli.upkeep import check_configuration  # noqa: PLC0415 - CEL takes a moment to load

    check_configuration(as_json=as_json)
