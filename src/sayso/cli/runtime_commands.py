"""`sayso doctor`, `sayso runtime install`, `sayso runtime where`.

Data to stdout, progress to stderr. `doctor` ends with 1 when the default stack lacks something, `where` when there is no runtime.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sayso.stack.doctor import Finding, default_stack_ready, examine
from sayso.stack.runtime import BINARIES, Runtime, find_runtime, install_runtime
from sayso.stack.runtime_build import THREE_WAYS

PLAIN_PROGRESS_SECONDS = 15

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

runtime_app = typer.Typer(no_args_is_help=True, help="The Dapr runtime: daprd, placement, scheduler.")


@runtime_app.command()
def install(as_json: Json = False) -> None:
    """Find the Dapr runtime, or build it once into the user's cache."""
    with progress_on(Console(stderr=True)) as progress:
        runtime = install_runtime(progress)
    _print_runtime(runtime, as_json=as_json)


@runtime_app.command()
def where(as_json: Json = False) -> None:
    """Print where the Dapr runtime is; exit code 1 if there is none."""
    runtime = find_runtime()
    if runtime is None:
        Console(stderr=True).print(f"No Dapr runtime found.\n{THREE_WAYS}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    _print_runtime(runtime, as_json=as_json)


def doctor(as_json: Json = False) -> None:
    """Report each part of the local stack: found where, which version, or what to do."""
    with progress_on(Console(stderr=True)) as progress:
        progress("looking at this machine")
        findings = examine()
    ready = default_stack_ready(findings)
    if as_json:
        typer.echo(json.dumps({"ready": ready, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        Console().print(_table(findings))
        verdict = "`sayso up` has what it needs." if ready else "`sayso up` cannot run yet: see what is marked missing."
        Console(stderr=True).print(verdict, highlight=False, markup=False)
    raise typer.Exit(0 if ready else 1)


@contextmanager
def progress_on(console: Console) -> Iterator[Callable[[str], None]]:
    """A function that shows a line of progress: in place on a terminal, otherwise as a line every 15 seconds."""
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text: status.update(escape(text))
        return
    yield _sparse(lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))


def _sparse(show: Callable[[str], None]) -> Callable[[str], None]:
    """Pass on a text that begins otherwise than the last one, and of those that only count on, one every 15 seconds."""
    last_step, shown_at = "", 0.0

    def progress(text: str) -> None:
        nonlocal last_step, shown_at
        step, now = text.partition(":")[0], time.monotonic()
        if step != last_step or now - shown_at >= PLAIN_PROGRESS_SECONDS:
            last_step, shown_at = step, now
            show(text)

    return progress


def _print_runtime(runtime: Runtime, *, as_json: bool) -> None:
    paths = {name: str(getattr(runtime, name)) for name in BINARIES}
    if as_json:
        typer.echo(json.dumps({"version": runtime.version, "origin": runtime.origin, **paths}, indent=2))
        return
    for name, path in paths.items():
        typer.echo(f"{name} {runtime.version} {path}")


def _table(findings: list[Finding]) -> Table:
    table = Table("part", "", "version", Column("where, or what to do", overflow="fold"))
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else ("[bold red]missing[/]" if finding.needed else "[yellow]absent[/]")
        detail = "\n".join(text for text in (finding.where, finding.advice) if text)
        table.add_row(finding.part, mark, finding.version or "", escape(detail))
    return table
