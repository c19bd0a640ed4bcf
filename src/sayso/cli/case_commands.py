"""`sayso cases`, `sayso case`, `sayso tasks`: what there is, and what became of one."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.decide_commands import CaseReference, Workflow
from sayso.cli.output import Json

Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="How many at most.")]


def cases(
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="open, starting, running, closed, or an outcome (approved, …).")
    ] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="NAME", help="Only cases of this workflow.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List cases, the newest first."""
    from sayso.cli.case_lists import show_cases  # noqa: PLC0415 - database drivers take a moment to load

    show_cases(status, workflow, limit, as_json=as_json)


def case(
    key: CaseReference,
    workflow: Workflow = None,
    generation: Annotated[
        int | None,
        typer.Option("--generation", metavar="N", min=1, max=2**31 - 1, help="An earlier case of this key; otherwise the latest."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it has ended; also before it has begun.")] = False,
    as_json: Json = False,
) -> None:
    """Show one case: where it stands, and everything that happened to it, in order.

    When the stack runs, the workflow engine's own history is merged in. Exit code 1 when there is no such case.
    """
    from sayso.cli.case_page import Reference, show_case  # noqa: PLC0415 - database drivers take a moment to load
    from sayso.cli.case_watch import watch_case  # noqa: PLC0415 - as above

    reference = Reference(key, workflow, generation)
    if watch:
        watch_case(reference, as_json=as_json)
    else:
        show_case(reference, as_json=as_json)


def tasks(limit: Limit = 50, as_json: Json = False) -> None:
    """List open approval tasks: which case, what is asked, of whom, until when. The most urgent first."""
    from sayso.cli.case_lists import show_tasks  # noqa: PLC0415 - database drivers take a moment to load

    show_tasks(limit, as_json=as_json)
