"""JSON Schema (2020-12) of an event type's payload.

What Sayso reads is described as tolerant as it reads: unknown fields are allowed, amounts and keys may be numbers. What it sends is
described as it writes: amounts are strings.
"""

from __future__ import annotations

from typing import Any

from sayso.contracts.catalog import EVENT_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def payload_schema(event_type: str) -> dict[str, Any]:
    """The schema of `data` in an event of this type."""
    kind = EVENT_TYPES[event_type]
    schema = kind.model.model_json_schema(mode="validation" if kind.direction == "in" else "serialization")
    schema |= {"title": event_type, "description": meaning_of(event_type)}
    for field in schema["properties"].values():
        field.pop("title", None)
    return {"$schema": DIALECT, "$id": f"urn:sayso:payload:{event_type}", **schema, "additionalProperties": True}


def meaning_of(event_type: str) -> str:
    """The first sentence of the payload's docstring, without the type's name and topic."""
    text = " ".join((EVENT_TYPES[event_type].model.__doc__ or "").split())
    said = text.partition(": ")[2]
    return said[:1].upper() + said[1:]
