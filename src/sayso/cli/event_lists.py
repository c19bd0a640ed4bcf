"""The lists of events that came in, and of those that go out."""

from __future__ import annotations

import base64
import dataclasses
from functools import partial
from typing import Any

from sayso.cli.output import out, print_json, say, shortened, styled, table, when
from sayso.ledger.queries.events import list_events
from sayso.ledger.queries.overview import list_outbox
from sayso.ledger.queries.views import EventView, OutgoingView
from sayso.stack_address import find_stack

ID_WIDTH, REASON_WIDTH = 40, 90


def show_events(state: str | None, topic: str | None, limit: int, *, as_json: bool) -> None:
    """The newest events."""
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(list_events, state=state, topic=topic, limit=limit))
    finally:
        ledger.close()
    if as_json:
        print_json([event_document(each) for each in found])
        return
    if not found:
        say("no events" + (f" in state {state}" if state else "") + (f" on {topic}" if topic else ""))
        return
    out().print(event_table(found))


def event_table(found: list[EventView]) -> Any:
    """A row for each event."""
    headings = ("#", "STATE", "TOPIC", "TYPE", "ID", "SEEN", "ARRIVED", "REASON")
    rows = (
        (
            str(each.number),
            styled(each.state),
            shortened(each.topic, ID_WIDTH),
            shortened(each.type or "?", ID_WIDTH),
            shortened(each.event_id or "?", ID_WIDTH),
            str(each.sightings),
            when(each.received_at),
            shortened(each.reason or "", REASON_WIDTH),
        )
        for each in found
    )
    return table(headings, rows)


def event_document(event: EventView) -> dict[str, Any]:
    """An event as JSON-ready data: its bytes as base64, and as text where they are text."""
    document = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    try:
        text: str | None = event.original.decode()
    except UnicodeDecodeError:
        text = None
    return {**document, "original": text, "original_base64": base64.b64encode(event.original).decode()}


def show_outbox(limit: int, *, pending: bool, as_json: bool) -> None:
    """What Sayso publishes."""
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(list_outbox, pending=pending, limit=limit))
    finally:
        ledger.close()
    if as_json:
        print_json(found)
        return
    if not found:
        say("nothing is waiting to be published" if pending else "nothing was published yet")
        return
    headings = ("#", "TOPIC", "TYPE", "ID", "PUBLISHED")
    rows = ((str(each.number), each.topic, each.type, shortened(each.event_id, 80), _published(each)) for each in found)
    out().print(table(headings, rows))


def _published(each: OutgoingView) -> str:
    if each.published_at is not None:
        return when(each.published_at)
    return shortened(f"waiting, {each.attempts} attempts: {each.last_error}" if each.last_error else "waiting", REASON_WIDTH)
