"""Logs of the stack's processes: one file each, the previous run's beside it.

In: the log folder. Out: lines, each with the name of its process in front. Invariant: no file grows without bound.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

SIZE_MAX_BYTES = 64 * 1024 * 1024
FOLLOW_INTERVAL_SECONDS = 0.2
TAIL_BYTES = 256 * 1024


def begin_new_run(logs: Path) -> None:
    """Set the logs of the previous run aside, as NAME.log.1."""
    logs.mkdir(parents=True, exist_ok=True)
    for log in logs.glob("*.log"):
        log.replace(log.with_name(log.name + ".1"))


def cut_long(logs: Path) -> None:
    """Start a log anew that has grown too long. Its process writes in append mode, so it goes on at the new end."""
    for log in logs.glob("*.log"):
        if log.stat().st_size > SIZE_MAX_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log, at most `lines`."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return list(deque(text.splitlines(), maxlen=lines))


def last_line(log: Path) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(tail(log, 20)) if line.strip()), "")


def follow(logs: list[Path]) -> Iterator[tuple[str, str]]:
    """(process, line) as they are written from this call on, for ever; also lines of a process that starts later."""
    return _new_lines(logs, {log: log.stat().st_size if log.exists() else 0 for log in logs})


def _new_lines(logs: list[Path], ends: dict[Path, int]) -> Iterator[tuple[str, str]]:
    while True:
        for log in logs:
            size = log.stat().st_size if log.exists() else 0
            if size < ends[log]:  # cut, or a new run
                ends[log] = 0
            if size > ends[log]:
                ends[log], lines = _complete_lines(log, ends[log])
                yield from ((log.stem, line) for line in lines)
        time.sleep(FOLLOW_INTERVAL_SECONDS)


def _complete_lines(log: Path, start: int) -> tuple[int, list[str]]:
    with log.open("rb") as file:
        file.seek(start)
        block = file.read(TAIL_BYTES)
    end = block.rfind(b"\n") + 1
    if end == 0 and len(block) == TAIL_BYTES:  # one endless line
        end = len(block)
    return start + end, block[:end].decode(errors="replace").splitlines()
