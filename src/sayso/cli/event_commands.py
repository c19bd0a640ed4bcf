"""`sayso events`, `sayso event`, `sayso outbox`: every message that came in or goes out, and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.case_commands import Limit
from sayso.cli.output import Json


def events(
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only this state: consumed, held, late, rejected, …")
    ] = None,
    topic: Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Only events of this topic.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List received events with their state and its reason, the newest first."""
    from sayso.cli.event_lists import show_events  # noqa: PLC0415 - database drivers take a moment to load

    show_events(state, topic, limit, as_json=as_json)


def event(
    reference: Annotated[
        str, typer.Argument(metavar="ID", help="A CloudEvent id, the ledger's number, or #NUMBER, which is only ever the number.")
    ],
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="The event's source, if several sources use the id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show everything that is known of one event: what became of it, why, and its original bytes.

    Events that Sayso itself publishes are found by their id too. Exit code 1 when there is no such event, or more than one.
    """
    from sayso.cli.event_page import show_event  # noqa: PLC0415 - database drivers take a moment to load

    raise typer.Exit(show_event(reference, source, as_json=as_json))


def outbox(
    pending: Annotated[bool, typer.Option("--pending", help="Only what is still to be published.")] = False,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List the events that Sayso publishes, the newest first."""
    from sayso.cli.event_lists import show_outbox  # noqa: PLC0415 - database drivers take a moment to load

    show_outbox(limit, pending=pending, as_json=as_json)
