"""Dead letters: the event as it came, with extension attributes that say what became of it.

In: the original bytes and the marks. Out: the bytes of one event for `deadletters`. A structured CloudEvent keeps its text, so that
its numbers stay exact; what is none is carried in base64 by a CloudEvent of ours.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sayso.contracts.cloudevent import SPEC_VERSION, in_utc

DEAD = "sayso.event.dead.v1"
SOURCE = "/sayso"
ORIGINAL_BYTES_MAX = 512 * 1024
"""A dead letter carries the original up to this size: in base64 a larger one would not pass a broker that takes 1 MB, as Kafka does
unless told otherwise. The ledger has it in any case."""

NOT_IN_ATTRIBUTES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Marks:
    """What the ledger says of the event. `letter` is the dead letter's own id: an event may come to rest more than once.

    `digest` is the SHA-256 of the original bytes, `attempts` counts how often they came.
    """

    letter: str
    state: str
    reason: str
    topic: str
    digest: str
    seq: int
    attempts: int
    firsttime: str
    lasttime: str
    rule: str | None = None
    case: str | None = None

    def attributes(self) -> dict[str, str | int]:
        """As CloudEvents extension attributes: `saysostate`, `saysoreason` and so on."""
        marks = {f"sayso{name}": value for name, value in vars(self).items() if value is not None}
        return {name: NOT_IN_ATTRIBUTES.sub(" ", value) if isinstance(value, str) else value for name, value in marks.items()}

    @classmethod
    def of(cls, letter: Mapping[str, Any]) -> Marks:
        """Read them from a dead letter."""
        found = {name: letter.get(f"sayso{name}") for name in cls.__dataclass_fields__}
        return cls(**found)  # type: ignore[arg-type] # we wrote them


def dead_letter(original: bytes, marks: Marks, at: datetime, *, is_event: bool) -> bytes:
    """`is_event`: the original has been understood as a structured CloudEvent."""
    attributes = marks.attributes()
    if len(original) > ORIGINAL_BYTES_MAX:
        left_out = f"the original has {len(original)} bytes, too many to be carried; the ledger has it"
        return _of_ours(attributes, at, {"datacontenttype": "application/json", "data": {"left_out": left_out}})
    text = original.decode() if is_event else ""
    if not is_event or any(f'"{name}"' in text for name in attributes):  # a dead letter that was sent to us again
        carried = {"datacontenttype": "application/octet-stream", "data_base64": base64.b64encode(original).decode()}
        return _of_ours(attributes, at, carried)
    return f"{text.rstrip()[:-1]},{json.dumps(attributes)[1:]}".encode()


def _of_ours(attributes: dict[str, str | int], at: datetime, content: dict[str, Any]) -> bytes:
    document = {
        "specversion": SPEC_VERSION,
        "id": attributes["saysoletter"],
        "source": SOURCE,
        "type": DEAD,
        "time": in_utc(at),
        **attributes,
        **content,
    }
    return json.dumps(document, separators=(",", ":")).encode()
