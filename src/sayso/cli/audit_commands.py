"""`sayso audit verify|anchor|export`: whether anybody changed the audit log, how far it has come, what it says of one case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sayso.cli.decide_commands import CaseReference, Workflow
from sayso.cli.output import Json

audit_app = typer.Typer(no_args_is_help=True, help="The audit log: who did what, chained so that changes show.")


@audit_app.command()
def verify(
    anchors: Annotated[
        list[Path] | None,
        typer.Option("--anchors", metavar="FILE", help="Anchors kept elsewhere: a log, or events of the topic, one a line."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Check an export of one case, with the key and without the ledger.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the whole chain with its key and all known anchors. Exit code 1 when something was changed or is missing."""
    from sayso.cli.auditing import verify_chain, verify_export  # noqa: PLC0415 - database drivers take a moment to load

    if export is not None:
        raise typer.Exit(verify_export(export, as_json=as_json))
    raise typer.Exit(verify_chain(anchors or [], as_json=as_json))


@audit_app.command()
def anchor(
    publish: Annotated[bool, typer.Option("--publish", help="Also put it on the topic `audit-anchors`, out of turn.")] = False,
    as_json: Json = False,
) -> None:
    """Check the chain, then say how far it has come: a line to keep where the ledger's keepers cannot write."""
    from sayso.cli.auditing import anchor as say_anchor  # noqa: PLC0415 - as above

    raise typer.Exit(say_anchor(publish=publish, as_json=as_json))


@audit_app.command(name="export")
def export_one(
    key: CaseReference,
    workflow: Workflow = None,
    generation: Annotated[
        int | None,
        typer.Option("--generation", metavar="N", min=1, max=2**31 - 1, help="An earlier case of this key; otherwise the latest."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there; otherwise it is printed.")] = None,
) -> None:
    """Write down everything that the ledger has on one case, with its audit entries and their seals, as JSON for an auditor."""
    from sayso.cli.auditing import export  # noqa: PLC0415 - as above
    from sayso.cli.case_page import Reference  # noqa: PLC0415 - as above

    raise typer.Exit(export(Reference(key, workflow, generation), file))
