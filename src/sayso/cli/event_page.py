"""The page of one event: state, reason, sightings, case, what it caused, and its original bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rich.text import Text

from sayso.cli.event_lists import event_document, event_table
from sayso.cli.json_text import indented
from sayso.cli.output import argument, out, print_json, printable, say, styled, when
from sayso.errors import SaysoError
from sayso.ledger.queries.events import EventDetail, detail_of, find_events, find_outgoing
from sayso.ledger.queries.views import EventView, OutgoingView
from sayso.stack_address import find_stack

BYTES_SHOWN_MAX = 20_000


class NoSuchEventError(SaysoError):
    """Nothing in the ledger has this id or number."""


def show_event(reference: str, source: str | None, *, as_json: bool) -> int:
    """Print the page of the one event that is meant; 1 and a list when it could be several."""
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(find_events, reference=reference, source=source))
        outgoing = None if found or source else ledger.read(partial(find_outgoing, event_id=reference))
        detail = ledger.read(partial(detail_of, event=found[0])) if len(found) == 1 else None
    finally:
        ledger.close()
    if len(found) > 1:
        return show_several(reference, found, as_json=as_json)
    if detail is not None:
        show_detail(detail, as_json=as_json)
    elif outgoing is not None:
        _show_outgoing(outgoing, as_json=as_json)
    else:
        raise no_such_event(reference, source)
    return 0


def no_such_event(reference: str, source: str | None = None) -> NoSuchEventError:
    """What is said when nothing is called so."""
    return NoSuchEventError(f"no event {printable(reference)}{' from ' + printable(source) if source else ''}; see: sayso events")


def show_several(reference: str, found: list[EventView], *, as_json: bool) -> int:
    """A list to choose from; the exit code says that nothing was chosen."""
    if as_json:
        print_json([event_document(each) for each in found])
    else:
        out().print(event_table(found))
    say(f"{len(found)} events are called {printable(reference)}; choose one by its number: sayso event '#{found[0].number}'")
    return 1


def show_detail(detail: EventDetail, *, as_json: bool) -> None:
    """Print the page."""
    if as_json:
        lists = {"case": detail.case, "audit": detail.audit, "caused": detail.caused, "dead_letters": detail.dead_letters}
        print_json({"event": event_document(detail.event), **lists})
        return
    console = out()
    for line in _lines(detail):
        console.print(line)
    console.print()
    console.print(Text(_readable(detail.event.original)))
    if detail.case is not None:
        say(f"its case: sayso case {argument(detail.case.key, detail.case.instance_id)}")


def _lines(detail: EventDetail) -> Iterator[Text]:
    event, case = detail.event, detail.case
    yield Text.assemble(
        (f"event {event.number}", "bold"), "  ", styled(event.state), f": {printable(event.reason or 'not looked at yet')}"
    )
    if event.due_at is not None:
        yield _line("until" if event.state == "held" else "due", when(event.due_at))
    if event.event_id is not None:
        yield _line("id", event.event_id)
        yield _line("source", event.source or "")
        yield _line("type", event.type or "")
    yield _line("topic", event.topic)
    if event.binding is not None:
        as_what = f", as {event.event_name}" if event.event_name else ""
        yield _line("binding", event.binding + (f" → {event.workflow}{as_what}" if event.workflow else ""))
    if event.key is not None:
        yield _line("key", event.key)
    if case is not None:
        yield Text.assemble(f"{'case':<10}{case.instance_id}: ", styled(case.status), f" {printable(case.stage or '')}")
    yield _line("arrived", when(event.received_at))
    yield _line("changed", when(event.changed_at))
    if event.sightings > 1:
        yield _line("seen", f"{event.sightings} times, last {when(event.last_seen_at)}")
    for entry in detail.audit:
        why = entry.detail.get("comment")
        yield _line("audit", f"{when(entry.at)} {entry.action} by {entry.actor} ({entry.channel}){f': {why}' if why else ''}")
    for caused in detail.caused:
        yield _line("caused", f"{caused.type} on {caused.topic}, id {caused.event_id}, {_published(caused)}")
    for letter in detail.dead_letters:
        yield _line("dead", f"letter on {letter.topic}, id {letter.event_id}, {_published(letter)}")


def _show_outgoing(event: OutgoingView, *, as_json: bool) -> None:
    if as_json:
        print_json({"outgoing": event})
        return
    console = out()
    console.print(Text.assemble(("published by Sayso", "bold"), f": {_published(event)}"))
    for name, value in (("id", event.event_id), ("type", event.type), ("topic", event.topic), ("case", event.case or "-")):
        console.print(_line(name, value))
    console.print()
    console.print(Text(_readable(event.body)))


def _readable(original: bytes) -> str:
    """JSON indented, other text as it is, bytes that are no text written out; never anything that steers a terminal."""
    shown = original[:BYTES_SHOWN_MAX]
    rest = f"\n… {len(original) - len(shown)} more bytes; all of them with --json" if len(original) > len(shown) else ""
    if not original:
        return "(no bytes)"
    try:
        text = shown.decode()
    except UnicodeDecodeError:
        escaped = shown.decode("ascii", errors="backslashreplace")
        return f"{len(original)} bytes, not UTF-8:\n{printable(escaped)}{rest}"
    return "\n".join(printable(line) for line in indented(text).split("\n")) + rest


def _line(name: str, text: str) -> Text:
    return Text(f"{name:<10}{printable(text)}")


def _published(event: OutgoingView) -> str:
    return f"published {when(event.published_at)}" if event.published_at is not None else "not published yet"
