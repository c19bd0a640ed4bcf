"""The base of every payload, and the text types that they share.

In: a JSON object of another system. Out: a frozen model. Unknown fields are kept aside, not refused: other systems add fields.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError, WithJsonSchema


class Payload(BaseModel):
    """Tolerant of unknown fields, strict about the types of those it knows, immutable."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=False)


def _no_number_for_text(value: object) -> object:
    """Business keys come as text or whole numbers; 12.0, true and null are no keys."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


Key = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500),
    BeforeValidator(_no_number_for_text),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": 500}, {"type": "integer"}]}, mode="validation"),
]
"""A business key of another system: 1 to 500 characters, any of them; a whole number is taken as its digits."""

Person = Annotated[str, StringConstraints(min_length=1, max_length=320, strip_whitespace=True)]
"""A person's id as the directory or the sending system knows it: `alice`, `alice@example.com`."""


def person_key(person: str) -> str:
    """What two spellings of one person's id have in common: case, outer blanks, and how Unicode writes it make no other person.

    Invisible characters (category Cf: joiners, marks of direction, soft hyphens) count for nothing.
    """
    visible = "".join(character for character in unicodedata.normalize("NFKC", person) if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", visible.strip().casefold())


def explain(error: ValidationError) -> str:
    """Say in one line, for a person, which fields are wrong and how."""
    complaints = []
    for complaint in error.errors(include_url=False)[:5]:
        where = ".".join(str(part) for part in complaint["loc"])
        said = complaint["msg"].removeprefix("Value error, ")
        complaints.append(f"`{where}`: {said[:1].lower()}{said[1:]}" if where else said)
    return "; ".join(complaints)
