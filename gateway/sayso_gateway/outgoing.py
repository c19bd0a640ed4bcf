"""An event on its way out, and JSON that keeps numbers as they came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sayso.contracts.cloudevent import SPEC_VERSION, in_utc
from sayso.errors import MalformedError


@dataclass(frozen=True)
class Outgoing:
    """An event on its way to its topic."""

    topic: str
    key: str
    id: str
    source: str
    type: str
    body: bytes


def written_event(event_id: str, source: str, event_type: str, data: Any, now: float) -> bytes:
    """A structured CloudEvent; `data` as `read_json` gave it."""
    return exact_json(
        {
            "specversion": SPEC_VERSION,
            "id": event_id,
            "source": source,
            "type": event_type,
            "time": in_utc(datetime.fromtimestamp(now, UTC)),
            "datacontenttype": "application/json",
            "data": data,
        }
    ).encode()


def exact_json(value: Any) -> str:
    """JSON text, every number with the digits that it came with."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(name))}:{exact_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(exact_json(inner) for inner in value) + "]"
    if isinstance(value, Decimal):
        return str(value)
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MalformedError(f"what is to be written is no JSON: {type(value).__name__}") from error
