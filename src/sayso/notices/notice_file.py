"""The notice file: `notices.jsonl` in the state folder, where notices go unless the directory says otherwise.

In: a `Notice`. Out: one JSON line, written with one O_APPEND write, so that several processes may append. Delivery is at least
once: a repeated notice has the same `notice_id`, and is shown once. Lines are not forced to disk: a power failure may cost some.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

FILE_NAME = "notices.jsonl"
FILE_SCHEME = "sayso-file"
FILE_URL = f"{FILE_SCHEME}://"


class Notice(BaseModel):
    """One message to one recipient."""

    model_config = ConfigDict(frozen=True)

    notice_id: str
    at: AwareDatetime
    recipient: str
    title: str
    body: str


@dataclass(frozen=True)
class SeenNotice:
    """A notice, and how often it was delivered."""

    notice: Notice
    deliveries: int


def append_notice(path: Path, notice: Notice) -> None:
    """Append one line; OSError if that cannot be done in full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = notice.model_dump_json().encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # A full disk tore the line before (or another process is writing it just now: then an empty line is all that comes of
            # it). Do not let it swallow this one.
            line = b"\n" + line
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes were written; is the disk full?")
    finally:
        os.close(descriptor)


def parse_lines(lines: Iterable[bytes]) -> list[Notice]:
    """The notices of these lines; a torn, foreign or empty line is no notice."""
    notices = []
    for line in lines:
        try:
            notices.append(Notice.model_validate_json(line))
        except ValidationError:
            continue
    return notices


def read_lines(path: Path, offset: int) -> tuple[list[bytes], int]:
    """The complete lines from `offset` on, and where the next one starts; a file that got shorter is read from its start."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = offset if offset <= size else 0
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    complete = data[: data.rfind(b"\n") + 1]
    return complete.splitlines(), start + len(complete)


def read_notices(path: Path) -> list[SeenNotice]:
    """All notices, oldest first, each once for its id and recipient; a missing file is an empty one."""
    lines, _ = read_lines(path, 0)
    first: dict[tuple[str, str], Notice] = {}
    deliveries: dict[tuple[str, str], int] = {}
    for notice in parse_lines(lines):
        same = (notice.notice_id, notice.recipient)
        first.setdefault(same, notice)
        deliveries[same] = deliveries.get(same, 0) + 1
    return [SeenNotice(notice, deliveries[same]) for same, notice in first.items()]
