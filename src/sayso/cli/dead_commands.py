"""`sayso dead`: events that could not be used, and what a person does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sayso.cli.case_commands import Limit
from sayso.cli.output import Json

if TYPE_CHECKING:
    from sayso.cli.dead_choice import Choice

dead_app = typer.Typer(no_args_is_help=True, help="Events that could not be used: see them, drive them again, or give them up.")

References = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="CloudEvent ids, the ledger's numbers, or #NUMBER; none: by the filters.")
]
State = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="STATE", help="rejected, refused, unmatched, conflict, late, unclaimed, expired; or dead."),
]
Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this CloudEvent type.")]
Topic = Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Only events of this topic.")]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help="Only this business key.")]
Case = Annotated[str | None, typer.Option("--case", metavar="CASE", help="Only events of this case: its instance id, or its key.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only reasons that contain this text.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Failed since: 2026-11-21T08:00, or how long ago: PT1H, P2D.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Failed before: as --since.")]
Everything = Annotated[bool, typer.Option("--all", help="All that failed, without a filter.")]
Actor = Annotated[str, typer.Option("--as", metavar="USER", help="Who does it; kept in the audit log.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each; nothing is changed.")]


def _choice(references: list[str] | None, *filters: Any, everything: bool = False) -> Choice:
    from sayso.cli.dead_choice import Choice  # noqa: PLC0415 - database drivers take a moment to load

    return Choice.of(references or [], *filters, everything=everything)


@dead_app.command("list")
def list_(
    state: State = None,
    event_type: Type = None,
    topic: Topic = None,
    key: Key = None,
    case: Case = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List events that failed and were not given up, the newest first, with their reason, and how many there are by state."""
    from sayso.cli.dead_lists import show_dead  # noqa: PLC0415 - database drivers take a moment to load

    show_dead(_choice([], state, event_type, topic, key, case, reason, since, until), limit, as_json=as_json)


@dead_app.command()
def show(
    reference: Annotated[str, typer.Argument(metavar="ID", help="A CloudEvent id, the ledger's number, or #NUMBER.")],
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="The event's source, if several sources use the id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one event as `sayso event` does, and what a replay would do now."""
    from sayso.cli.dead_lists import show_one  # noqa: PLC0415 - CEL and database drivers take a moment to load

    raise typer.Exit(show_one(reference, source, as_json=as_json))


@dead_app.command()
def replay(
    references: References = None,
    actor: Actor = "",
    state: State = None,
    event_type: Type = None,
    topic: Topic = None,
    key: Key = None,
    case: Case = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Have events that failed looked at again, with the bindings and cases of today, in the order in which they came.

    What would only fail in the same way again, and what has had its effect, stays as it is. Safe to repeat.
    Exit code: 0 all of them were taken; 1 there are none; 4 some stay, with the reason.
    """
    from sayso.cli.dead_changes import replay_events  # noqa: PLC0415 - CEL and database drivers take a moment to load

    choice = _choice(references, state, event_type, topic, key, case, reason, since, until, everything=everything)
    raise typer.Exit(replay_events(choice, actor, dry_run=dry_run, as_json=as_json))


@dead_app.command()
def give_up(
    references: References = None,
    actor: Actor = "",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why; kept with the event and in the audit log.")] = "",
    state: State = None,
    event_type: Type = None,
    topic: Topic = None,
    key: Key = None,
    case: Case = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put events that failed to rest for good: their state becomes dead, and they are never driven again.

    Exit code: 0 all of them; 1 there are none; 4 some stay, with the reason.
    """
    from sayso.cli.dead_changes import give_up_events  # noqa: PLC0415 - database drivers take a moment to load

    choice = _choice(references, state, event_type, topic, key, case, reason, since, until, everything=everything)
    raise typer.Exit(give_up_events(choice, actor, comment, dry_run=dry_run, as_json=as_json))
