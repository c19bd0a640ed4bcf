"""Amounts of money: decimals with a currency, never floats.

In: JSON numbers or decimal strings of other systems. Out: exact `Decimal` values, written as strings. Booleans, NaN,
infinities, exponents beyond reason and negative amounts are malformed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema


def _exact(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("an amount is a number or a decimal string, not a boolean")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str) and not DECIMAL_TEXT.fullmatch(value):  # Python would also take 1_000 and digits of other scripts
        raise ValueError('an amount is a number or a decimal string such as "1250.00"')
    return value


DECIMAL_TEXT = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,9})?\s*", re.ASCII)

Amount = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(ge=0, max_digits=28, decimal_places=10, allow_inf_nan=False),
    PlainSerializer(lambda amount: format(amount, "f"), return_type=str),
    WithJsonSchema(
        {
            "description": "A non-negative decimal in units of its currency: a number, or (exact in every language) a string.",
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\+?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,9})?\s*$"},
            ],
        },
        mode="validation",
    ),
]
"""A non-negative decimal in units of its currency (not cents); up to 28 digits, 10 of them after the point."""

Currency = Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{3}$")]
"""An ISO 4217 code, upper case."""

DEFAULT_CURRENCY = "USD"
"""What the seed documents' bare `$` amounts mean."""
