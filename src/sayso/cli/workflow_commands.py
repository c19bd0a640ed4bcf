"""`sayso workflow`: the status of a case as Dapr's API says it, and what an operator does to a case."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.decide_commands import CaseReference, Workflow
from sayso.cli.output import Json

workflow_app = typer.Typer(no_args_is_help=True, help="Status of a case for polling, and acts of operators.")

Actor = Annotated[str, typer.Option("--as", metavar="USER", help="Who does it; kept in the audit log.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit log.")]
Generation = Annotated[
    int | None,
    typer.Option("--generation", metavar="N", min=1, max=2**31 - 1, help="An earlier case of this key; otherwise the latest."),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait.")]


@workflow_app.command()
def status(
    key: CaseReference,
    workflow: Workflow = None,
    generation: Generation = None,
    wait: Annotated[bool, typer.Option("--wait", help="Poll until it has ended.")] = False,
    timeout_seconds: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """Say where a case stands: PENDING, RUNNING, SUSPENDED, COMPLETED, FAILED or TERMINATED.

    With --json in the shape of Dapr's workflow API. Exit code 1 when there is no such case, 5 when --wait did not see its end.
    """
    from sayso.cli.acting import Meant, show_status  # noqa: PLC0415 - database drivers take a moment to load

    meant = Meant(key, workflow, generation)
    raise typer.Exit(show_status(meant, wait_seconds=timeout_seconds if wait else 0.0, as_json=as_json))


@workflow_app.command()
def suspend(
    key: CaseReference,
    user: Actor,
    reason: Reason,
    workflow: Workflow = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Halt a case until it is resumed. Its events are kept for it; its deadline goes on."""
    _act("suspend", key, workflow, user, reason, timeout_seconds, as_json=as_json)


@workflow_app.command()
def resume(
    key: CaseReference,
    user: Actor,
    reason: Reason,
    workflow: Workflow = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Let a suspended case go on with what has come meanwhile."""
    _act("resume", key, workflow, user, reason, timeout_seconds, as_json=as_json)


@workflow_app.command()
def terminate(
    key: CaseReference,
    user: Actor,
    reason: Reason,
    workflow: Workflow = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """End a case as cancelled, now. Nothing is undone; what it did not use goes to the dead letters."""
    _act("terminate", key, workflow, user, reason, timeout_seconds, as_json=as_json)


@workflow_app.command()
def retry(
    key: CaseReference,
    user: Actor,
    reason: Reason,
    workflow: Workflow = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Go on with a case whose workflow failed, from the step that failed, as a new generation. No effect happens twice."""
    _act("retry", key, workflow, user, reason, timeout_seconds, as_json=as_json)


@workflow_app.command()
def purge(
    key: CaseReference,
    user: Actor,
    reason: Reason,
    workflow: Workflow = None,
    generation: Generation = None,
    timeout_seconds: Timeout = 10.0,
    as_json: Json = False,
) -> None:
    """Have the engine forget a case that has ended; the ledger keeps it."""
    _act("purge", key, workflow, user, reason, timeout_seconds, as_json=as_json, generation=generation)


def _act(
    act: str,
    key: str,
    workflow: str | None,
    user: str,
    reason: str,
    timeout_seconds: float,
    *,
    as_json: bool,
    generation: int | None = None,
) -> None:
    from sayso.cli.acting import Meant, carry_out  # noqa: PLC0415 - database drivers take a moment to load

    meant = Meant(key, workflow, generation)
    raise typer.Exit(carry_out(act, meant, user, reason, wait_seconds=timeout_seconds, as_json=as_json))
