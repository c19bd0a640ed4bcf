"""Event files: one CloudEvent, an array of them, or JSON lines; from a file or stdin.

In: bytes. Out: the text of each event, as written: what is published is what the file says, number by number. Attributes are filled
in or replaced in the text itself, because parsing and writing again would turn 1200.50 into 1200.5.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sayso.errors import ConfigurationError, MalformedError

SOURCE = "/sayso/cli"
REQUIRED = ("specversion", "id", "source", "type", "time")
_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def read_input(file: str) -> bytes:
    """The bytes of a file, or of stdin for `-`."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from error


def split_events(raw: bytes, name: str) -> list[str]:
    """The JSON texts in a file; `MalformedError` says where it stops being JSON."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{name}: not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from error
    try:
        found = _array(text, 0) if text.lstrip().startswith("[") else _sequence(text)
    except json.JSONDecodeError as error:
        raise MalformedError(f"{name}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise MalformedError(f"{name}: JSON nested too deeply") from error
    if not found:
        raise MalformedError(f"{name}: no event in it")
    return found


def completed(text: str, name: str, given: Mapping[str, str], *, fill: bool) -> str:
    """The event with the `given` attributes in place of its own; `fill` adds what else is missing, otherwise that is an error."""
    attributes = members(text)
    if attributes is None:
        raise MalformedError(f"{name}: a CloudEvent is a JSON object")
    changed = dict(given)
    if fill:
        changed |= {attribute: value for attribute, value in _fillings().items() if attribute not in {**attributes, **given}}
    missing = [attribute for attribute in REQUIRED if attribute not in {**attributes, **changed}]
    if missing:
        names = ", ".join(f"`{attribute}`" for attribute in missing)
        fillable = [attribute for attribute in missing if attribute != "type"]
        advice = f"add {'it' if len(missing) == 1 else 'them'}"
        raise MalformedError(f"{name}: no {names}: {advice}{', or let --fill do it' if fillable == missing else ''}")
    if not changed:
        return text
    attributes |= {attribute: json.dumps(value) for attribute, value in changed.items()}
    return "{" + ",".join(f"{json.dumps(attribute)}:{value}" for attribute, value in attributes.items()) + "}"


def members(text: str) -> dict[str, str] | None:
    """Name → value of a JSON object, the values as written; None when it is something else."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        return None
    found: dict[str, str] = {}
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # the colon
        _, end = _DECODER.raw_decode(text, at)
        found[name] = text[at:end]
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
    return found


def _fillings() -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": SOURCE,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }


def _sequence(text: str) -> list[str]:
    """Values one after the other: a single one, or JSON lines."""
    found = []
    at = _skip(text, 0)
    while at < len(text):
        _, end = _DECODER.raw_decode(text, at)
        found.append(text[at:end])
        at = _skip(text, end)
    return found


def _array(text: str, start: int) -> list[str]:
    """The elements of an array, which must be all there is."""
    at = _skip(text, start)
    _, end = _DECODER.raw_decode(text, at)
    if _skip(text, end) != len(text):
        raise json.JSONDecodeError("something follows the array", text, end)
    found = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, stop = _DECODER.raw_decode(text, at)
        found.append(text[at:stop])
        at = _skip(text, stop)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at
