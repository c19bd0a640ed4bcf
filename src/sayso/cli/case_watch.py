"""`sayso case --watch`: the timeline as it grows, until the case has ended and its outcome is published.

On a terminal the header is kept up to date below the lines; elsewhere there are only the lines. Each line is printed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rich.console import Console, Group
from rich.live import Live

from sayso.cli.case_page import CasePage, NoSuchCaseError, Reference, entry_line, header_lines, page_of
from sayso.cli.output import out, print_json_line, printable, say
from sayso.ledger import Ledger
from sayso.ledger.queries.timeline import Entry
from sayso.stack_address import find_stack

POLL_SECONDS = 0.25
OUTCOME_SECONDS = 5.0
"""How long an ended case is watched for its outcome to be published."""

ShowNew = Callable[[CasePage, list[Entry]], None]


def watch_case(reference: Reference, *, as_json: bool) -> None:
    """Follow the case; it may not have begun yet."""
    ledger = find_stack().ledger()
    try:
        if as_json:
            _follow(ledger, reference, lambda _page, new: _print_lines(new))
            return
        console = out()
        if console.is_terminal:
            _follow_live(ledger, reference, console)
            return
        page = _follow(ledger, reference, lambda _page, new: _print_text(console, new))
        for line in header_lines(page):
            console.print(line)
    except KeyboardInterrupt:
        say("stopped watching; the case goes on")
    finally:
        ledger.close()


def _follow_live(ledger: Ledger, reference: Reference, console: Console) -> None:
    with Live(console=console, refresh_per_second=4) as live:

        def show(page: CasePage, new: list[Entry]) -> None:
            for entry in new:
                live.console.print(entry_line(entry))
            live.update(Group("", *header_lines(page)))

        _follow(ledger, reference, show)


def _follow(ledger: Ledger, reference: Reference, show: ShowNew) -> CasePage:
    """Call `show` whenever something is new, until the case has ended; returns the last page."""
    shown: set[tuple[str, str]] = set()
    head = False
    ended_at: float | None = None
    waiting = False
    while True:
        try:
            page = ledger.read(partial(page_of, reference=reference))
        except NoSuchCaseError:
            if not waiting:
                say(f"no case {printable(reference.text)} yet; waiting for it")
                waiting = True
            time.sleep(POLL_SECONDS)
            continue
        if not head:
            say(next(iter(header_lines(page))))
            head = True
        new = [entry for entry in page.timeline if (entry.kind, entry.text) not in shown]
        shown |= {(entry.kind, entry.text) for entry in new}
        show(page, new)
        if page.case.phase == "closed":
            ended_at = ended_at or time.monotonic()
            if _outcome_is_out(page) or time.monotonic() - ended_at > OUTCOME_SECONDS:
                return page
        time.sleep(POLL_SECONDS)


def _outcome_is_out(page: CasePage) -> bool:
    return any(entry.kind == "published" and entry.text.startswith("published on outcomes") for entry in page.timeline)


def _print_lines(new: list[Entry]) -> None:
    for entry in new:
        print_json_line(entry)


def _print_text(console: Console, new: list[Entry]) -> None:
    for entry in new:
        console.print(entry_line(entry))
    console.file.flush()
