"""`sayso cases`, `sayso case`, `sayso tasks`: what there is, what became of one, and what an operator changes in it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sayso.cli.decide_commands import CaseReference, Workflow
from sayso.cli.output import Json
from sayso.cli.workflow_commands import Actor, Reason, Timeout

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


class KeyOrAct(TyperGroup):
    """`sayso case KEY` shows it; `sayso case reassign KEY` and `sayso case cancel KEY` change it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What is no act is the key of a case to be shown."""
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return list(super().parse_args(ctx, args if named or not args else ["show", *args]))


case_app = typer.Typer(cls=KeyOrAct, no_args_is_help=True, help="Show one case (sayso case KEY), or change who decides on it.")


@case_app.command(name="show")
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


@case_app.command()
def reassign(
    key: CaseReference,
    to: Annotated[str, typer.Option("--to", metavar="USER", help="Who decides instead.")],
    user: Actor,
    reason: Reason,
    holder: Annotated[str | None, typer.Option("--from", metavar="USER", help="In whose place, where several must decide.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", metavar="NAME", help="Which stage, where several are open.")] = None,
    workflow: Workflow = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Let somebody else decide in the place of one who is asked. Not the requester, nor who has decided on another stage."""
    from sayso.cli.acting import Meant, carry_out  # noqa: PLC0415 - database drivers take a moment to load

    more = {"to": to, "holder": holder, "stage": stage}
    meant = Meant(key, workflow)
    raise typer.Exit(carry_out("reassign", meant, user, reason, wait_seconds=timeout_seconds, as_json=as_json, **more))


@case_app.command()
def cancel(
    key: CaseReference,
    user: Actor,
    reason: Reason,
    workflow: Workflow = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """End a case by its own rules, as cancelled, while it waits: its workflow undoes what it can."""
    from sayso.cli.acting import Meant, carry_out  # noqa: PLC0415 - database drivers take a moment to load

    raise typer.Exit(carry_out("cancel", Meant(key, workflow), user, reason, wait_seconds=timeout_seconds, as_json=as_json))


def tasks(limit: Limit = 50, as_json: Json = False) -> None:
    """List open approval tasks: which case, what is asked, of whom, until when. The most urgent first."""
    from sayso.cli.case_lists import show_tasks  # noqa: PLC0415 - database drivers take a moment to load

    show_tasks(limit, as_json=as_json)
