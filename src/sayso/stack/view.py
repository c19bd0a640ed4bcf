"""Shows a stack: one line a process while it starts, and one line for what happens later.

In: `StackState` after each change. Out: lines on stderr; on a terminal one table that is redrawn while the stack starts.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sayso.stack.state import ProcessState, ProcessStatus, StackState, StackStatus

COLOURS = {
    ProcessStatus.WAITING: "dim",
    ProcessStatus.STARTING: "yellow",
    ProcessStatus.READY: "green",
    ProcessStatus.RESTARTING: "yellow",
    ProcessStatus.FAILED: "bold red",
    ProcessStatus.STOPPED: "dim",
}


class StackView:
    """Call it with each new state; use it as a context manager, so that the table is closed properly.

    What is `known` already is not said again.
    """

    def __init__(self, console: Console, known: StackState | None = None) -> None:
        self._console = console
        self._began = time.monotonic()
        self._seen = {each.name: (each.status, each.restarts) for each in known.processes} if known else {}
        self._began_at: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close_table()

    def __call__(self, state: StackState) -> None:
        """Show what has changed."""
        for process in state.processes:
            self._note(process)
        if self._live:
            self._live.update(starting_table(state, self._took), refresh=True)
            if state.status is not StackStatus.STARTING:
                self._close_table()

    def _note(self, process: ProcessState) -> None:
        change = (process.status, process.restarts)
        if self._seen.get(process.name) == change:
            return
        self._seen[process.name] = change
        if process.status is ProcessStatus.RESTARTING:
            self._began_at[process.name] = time.monotonic()
        if process.status is ProcessStatus.READY:
            self._took[process.name] = time.monotonic() - self._began_at.get(process.name, self._began)
        if self._live is None and process.status is not ProcessStatus.WAITING:
            self._console.print(_line(process, self._took), soft_wrap=True)

    def _close_table(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None


def starting_table(state: StackState, took: dict[str, float]) -> Table:
    """One row a process, with when it was ready or what it waits for."""
    table = _table("process", "status", "address")
    for process in state.processes:
        ready = process.status is ProcessStatus.READY and process.name in took
        table.add_row(*_beginning(process), f"after {took[process.name]:.1f} s" if ready else process.detail)
    return table


def status_table(state: StackState) -> Table:
    """One row a process, with its pid and how often it was started again."""
    table = _table("process", "status", "address", "pid", "restarts")
    for process in state.processes:
        table.add_row(*_beginning(process), str(process.pid or ""), str(process.restarts), process.detail)
    return table


def _table(*headings: str) -> Table:
    """These columns as wide as they need, and a last one that gives way on a narrow terminal."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)
    return table


def _beginning(process: ProcessState) -> tuple[str, Text, str]:
    return process.name, Text(process.status, style=COLOURS[process.status]), process.address


def _line(process: ProcessState, took: dict[str, float]) -> str:
    words = [f"{process.name:<12}", f"{process.status:<10}"]
    if process.status is ProcessStatus.READY:
        words += [process.address, f"after {took[process.name]:.1f} s"]
    return " ".join(word for word in (*words, process.detail) if word).rstrip()
