"""`sayso policy check|explain|simulate|test`: try rules before they count; `apply`: let them count for what waits already."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sayso.cli.output import Json
from sayso.errors import ConfigurationError

policy_app = typer.Typer(no_args_is_help=True, help="Approval policies: check them, and see what they would do.")

Named = Annotated[str | None, typer.Option("--policy", metavar="NAME", help="This policy, also a variant that does not count.")]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="As if it were then: 2026-12-24T10:00+01:00. Otherwise now.")]


@policy_app.command()
def check(as_json: Json = False) -> None:
    """Read directory, calendars and policies as the processes do. Exit code 2 with file, line and a hint when one is wrong."""
    from sayso.cli.policy_lists import check_policies  # noqa: PLC0415 - CEL takes a moment to load

    check_policies(as_json=as_json)


@policy_app.command()
def explain(
    request: Annotated[str, typer.Argument(metavar="REQUEST.json", help="A CloudEvent that opens a case, or its data; - is stdin.")],
    policy: Named = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="NAME", help="Whose request it is, when it is no CloudEvent.")
    ] = None,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Say who would have to decide on a request, until when, and by which rule."""
    from sayso.cli.policy_explaining import explain_request  # noqa: PLC0415 - as above

    explain_request(request, policy, workflow, moment_of(at), as_json=as_json)


@policy_app.command()
def simulate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="A policy's name, or a file that is not in the folder yet.")],
    history: Annotated[
        str | None, typer.Option("--history", metavar="FILE", help="Past requests, as an array or a line each; - is stdin.")
    ] = None,
    ledger: Annotated[bool, typer.Option("--ledger", help="Past cases of the ledger.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many cases of the ledger, the newest first.")] = 1_000,
    everything: Annotated[bool, typer.Option("--all", help="Show also those for which nothing changes.")] = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Say what would have been different for past requests: who is asked, and whether anybody is. Exit code 1 if anything is."""
    from sayso.cli.policy_simulating import Past, simulate_policy  # noqa: PLC0415 - as above

    if (history is None) is not ledger:
        raise ConfigurationError("say which past: --history FILE or --ledger")
    past = Past(history, limit, moment_of(at))
    raise typer.Exit(simulate_policy(policy, past, everything=everything, as_json=as_json))


@policy_app.command()
def apply(
    to_waiting: Annotated[bool, typer.Option("--to-waiting", help="Say so: the cases that wait already are planned anew.")] = False,
    user: Annotated[str | None, typer.Option("--as", metavar="USER", help="Who does it; kept in the audit log.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit log.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="NAME", help="Only cases of this workflow.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long each case may take to meet it.")
    ] = 10.0,
    as_json: Json = False,
) -> None:
    """Plan waiting cases by the policies and the directory of today, where that gives another plan; new cases take them anyway.

    A stage of which the new plan asks the same people by the same rule stands, with its votes and its deadline. Others are asked anew.
    """
    from sayso.cli.policy_applying import Wanted, apply_to_waiting  # noqa: PLC0415 - as above

    if not to_waiting:
        raise ConfigurationError("new cases take a policy by themselves, once the processes have been started again; say --to-waiting")
    if not dry_run and (user is None or reason is None):
        raise ConfigurationError("say who does it and why: --as USER --reason TEXT (or --dry-run)")
    wanted = Wanted(user or "", reason or "", workflow, timeout_seconds)
    raise typer.Exit(apply_to_waiting(wanted, dry_run=dry_run, as_json=as_json))


@policy_app.command("test")
def hold_tables(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Otherwise all of policies/tests/.")] = None,
    as_json: Json = False,
) -> None:
    """Hold the policies against tables of requests and expected plans. Exit code 1 when one is not as expected."""
    from sayso.cli.policy_lists import hold_against_tables  # noqa: PLC0415 - as above

    raise typer.Exit(hold_against_tables(files or [], as_json=as_json))


def moment_of(text: str | None) -> datetime | None:
    """The time that is meant; without an offset it is local."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f'"{text}" is no time; write for example 2026-12-24T10:00+01:00') from error
