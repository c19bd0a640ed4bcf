"""What commands print: data to stdout, messages to stderr, and nothing in it that steers a terminal.

Ids, keys and reasons contain the words of other systems. Every one of them passes `printable`, and reaches Rich as `Text`, never as
markup. JSON is ASCII, so it needs no such care.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

PLAIN_WIDTH = 200
"""Columns of a table that is written to a file or pipe."""

STATE_STYLES = {
    "consumed": "green",
    "started": "green",
    "recorded": "green",
    "completed": "green",
    "approved": "green",
    "auto_approved": "green",
    "held": "yellow",
    "delivering": "yellow",
    "delivered": "yellow",
    "received": "yellow",
    "rejected": "red",
    "refused": "red",
    "unmatched": "red",
    "conflict": "red",
    "late": "red",
    "unclaimed": "red",
    "expired": "red",
    "dead": "red",
    "failed": "bold red",
    "payment_failed": "red",
    "timed_out": "red",
}


def out() -> Console:
    """stdout, for data."""
    return _console(stderr=False)


def err() -> Console:
    """stderr, for messages."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")  # an old terminal's encoding must not cost an answer
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, soft_wrap=True, width=PLAIN_WIDTH)


def say(*parts: str | tuple[str, str] | Text) -> None:
    """A message for a person, on stderr."""
    err().print(Text.assemble(*parts))


def printable(text: object) -> str:
    """The text with control, direction and other invisible characters written out, as Python writes them."""
    return "".join(character if character.isprintable() else _escaped(character) for character in str(text))


def _escaped(character: str) -> str:
    number = ord(character)
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    return f"\\x{number:02x}" if number < 0x100 else (f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}")


def shortened(text: object, width: int) -> str:
    """A printable text of at most `width` characters; `…` stands for what is cut from its middle."""
    safe = printable(text)
    if len(safe) <= width:
        return safe
    tail = (width - 1) // 3
    return f"{safe[: width - 1 - tail]}…{safe[-tail:]}"


def argument(text: str, otherwise: str) -> str:
    """`text` as a person can type it in a shell, or `otherwise` where that is not possible."""
    typeable = text.isprintable() and len(text) <= 80 and not text.startswith("-")
    return shlex.quote(text if typeable else otherwise)


def styled(state: str) -> Text:
    """A state or outcome in its colour."""
    return Text(printable(state), STATE_STYLES.get(state, ""))


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table without frames; cells fold, nothing is cut."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return grid


def print_json(document: Any) -> None:
    """Dataclasses, times, bytes and decimals included, indented, to stdout."""
    typer.echo(json.dumps(document, indent=2, default=_json_ready))


def print_json_line(document: Any) -> None:
    """The same on one line, for output that goes on."""
    typer.echo(json.dumps(document, default=_json_ready))
    sys.stdout.flush()


def _json_ready(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is not JSON-ready")


def clock(at: datetime) -> str:
    """Local date and time, with seconds."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def ago(at: datetime, now: datetime | None = None) -> str:
    """`12 s ago`, `in 3 days`."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    size = abs(seconds)
    for unit, length, least in (("days", 86_400, 172_800), ("h", 3_600, 7_200), ("min", 60, 120)):
        if size >= least:
            return f"{size / length:.0f} {unit} ago" if seconds >= 0 else f"in {size / length:.0f} {unit}"
    return f"{size:.0f} s ago" if seconds >= 0 else f"in {size:.0f} s"


def when(at: datetime | None) -> str:
    """Absolute and relative: `2026-11-21 06:22:58 (12 s ago)`."""
    return f"{clock(at)} ({ago(at)})" if at is not None else "-"
