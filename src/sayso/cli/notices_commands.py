"""`sayso notices`: what people were told by way of the notice file.

In: the notice file. Out: one notice for each id, to stdout; everything else to stderr. It only reads.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from sayso.config_file import did_you_mean
from sayso.directory_http import directory_source
from sayso.notices.notice_file import FILE_NAME, Notice, parse_lines, read_lines, read_notices
from sayso.settings import Settings, load_settings

POLL_SECONDS = 0.2


def notices(
    user: Annotated[str | None, typer.Option("--for", metavar="USER", help="Only what reaches this user, also by a group.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array; with --follow one object a line.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new notices until Ctrl-C.")] = False,
) -> None:
    """Show the notices that people were sent: each once, with how often it was delivered."""
    settings = load_settings()
    path = settings.state_dir / FILE_NAME
    names = None if user is None else _names_of(user, settings)
    if follow:
        with suppress(KeyboardInterrupt):
            _follow(path, names, as_json)
        return
    found = [seen for seen in read_notices(path) if names is None or seen.notice.recipient in names]
    if as_json:
        typer.echo(json.dumps([seen.notice.model_dump(mode="json") | {"deliveries": seen.deliveries} for seen in found], indent=2))
        return
    if not found:
        typer.echo(f"no notices{f' for {user}' if user else ''} in {path}", err=True)
    for seen in found:
        _show(seen.notice, seen.deliveries)


def _names_of(user: str, settings: Settings) -> frozenset[str]:
    """The recipients by which a notice reaches this user. Anyone can be one: the directory need not know them."""
    path = settings.config_dir / "directory.yaml"
    if not path.exists():
        return frozenset({user})
    directory = directory_source(settings).current()
    if user not in directory.users:
        typer.echo(f'"{user}" is not in {settings.directory.url or path}{did_you_mean(user, directory.users)}', err=True)
    return directory.names_of(user)


def _follow(path: Path, names: frozenset[str] | None, as_json: bool) -> None:
    shown: set[tuple[str, str]] = set()
    offset = 0
    while True:
        lines, offset = read_lines(path, offset)
        for notice in parse_lines(lines):
            same = (notice.notice_id, notice.recipient)
            if same in shown or (names is not None and notice.recipient not in names):
                continue
            shown.add(same)
            if as_json:
                typer.echo(notice.model_dump_json())
            else:
                _show(notice, 1)
        sys.stdout.flush()
        time.sleep(POLL_SECONDS)


def _show(notice: Notice, deliveries: int) -> None:
    repeated = f"  (delivered {deliveries} times)" if deliveries > 1 else ""
    heading = Text.assemble(
        (notice.at.astimezone().strftime("%Y-%m-%d %H:%M:%S"), "dim"),
        f"  to {_printable(notice.recipient)}  ",
        (_printable(notice.title), "bold"),
        (repeated, "dim"),
    )
    console = Console(soft_wrap=True, highlight=False)
    console.print(heading)
    for line in notice.body.splitlines():
        console.print(Text(f"    {_printable(line)}"))


def _printable(text: str) -> str:
    """Without what would steer a terminal: notices contain the words of other systems."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
