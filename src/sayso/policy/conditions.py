"""The conditions of policies: CEL over `request`, `requester` and `numbers`, compiled once, checked against the workflow's request.

In: text of a condition; a request as the ledger keeps it, who asked as the directory knows them. Out: true or false, or
`MalformedError`. Amounts are doubles here (CEL has no decimals), made so that comparing one with a number of up to 15 digits is exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from functools import partial
from typing import Any, get_args

from cel_expr_python import cel

from sayso.config_file import did_you_mean
from sayso.contracts.payload import Payload
from sayso.correlation.expressions import complaint, in_cel_types
from sayso.directory import Directory
from sayso.errors import MalformedError

DIGITS_MAX = 15
"""Two decimals of so many significant digits never share a double."""

REQUESTER = {"id": False, "known": True, "name": False, "manager": False, "groups": True, "roles": True}
"""What is known of the requester, and whether it is always there."""

NAMES = ("request", "requester", "numbers")
_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_ENVIRONMENT = cel.NewEnv(variables=dict.fromkeys(NAMES, _MAP))
_in_words = partial(complaint, subject="it", names=NAMES)
_TEXTS = re.compile(r"""r?("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""")
_NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Vocabulary:
    """The names that a condition may use, each with whether it is always there; and which fields of the request are amounts."""

    names: Mapping[str, Mapping[str, bool]]
    amounts: frozenset[str]

    @classmethod
    def of(cls, model: type[Payload], numbers: Mapping[str, Decimal]) -> Vocabulary:
        """The names for requests of this model."""
        fields = model.model_fields
        request = {name: type(None) not in get_args(field.annotation) for name, field in fields.items()}
        amounts = frozenset(name for name, field in fields.items() if Decimal in (field.annotation, *get_args(field.annotation)))
        return cls({"request": request, "requester": REQUESTER, "numbers": dict.fromkeys(numbers, True)}, amounts)


class Condition:
    """One compiled `when`. `ValueError` at construction says what is wrong with the text."""

    def __init__(self, text: str, words: Vocabulary) -> None:
        self.text = text
        if not text.strip():
            raise ValueError("the condition is empty")
        try:
            self._compiled = _ENVIRONMENT.compile(text)
        except RuntimeError as error:
            raise ValueError(_in_words(error)) from error
        if self._compiled.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
            raise ValueError("it is not a condition: it must be true or false")
        _check_words(_TEXTS.sub('""', text), words)

    def holds(self, view: cel.Activation) -> bool:
        """Whether it is true for what `view_of` made; `MalformedError` when it is neither true nor false."""
        try:
            value = self._compiled.eval(activation=view)
            plain = value.plain_value() if value.type() != cel.Type.ERROR else value.value()
        except RuntimeError as error:
            raise MalformedError(f"`{self.text}`: {_in_words(error)}") from error
        if value.type() == cel.Type.ERROR:
            raise MalformedError(f"`{self.text}`: {_in_words(plain)}")
        if not isinstance(plain, bool):
            raise MalformedError(f"`{self.text}` is neither true nor false")
        return plain


def _check_words(text: str, words: Vocabulary) -> None:
    asked = set(re.findall(r"\bhas\(\s*(\w+)\.(\w+)\s*\)", text))
    for whole, name in re.findall(r"(?<![\w.])(request|requester|numbers)\s*\.\s*(\w+)", text):
        known = words.names[whole]
        if name not in known:
            raise ValueError(f'`{whole}` has no "{name}"{did_you_mean(name, known)}')
        if not known[name] and (whole, name) not in asked:
            raise ValueError(f"`{whole}.{name}` may be missing: write `has({whole}.{name}) && …`")
    for number in _NUMBER.findall(text):
        if len(number.replace(".", "").strip("0")) > DIGITS_MAX:
            raise ValueError(f"{number} has more than {DIGITS_MAX} digits")


def view_of(
    request: Mapping[str, Any], requester: str | None, directory: Directory, numbers: Mapping[str, Any], words: Vocabulary
) -> Any:
    """What conditions see, made once for all of them. A field that is null is not there."""
    plain = {
        name: comparable(Decimal(str(value))) if name in words.amounts and value is not None else value
        for name, value in request.items()
    }
    return _ENVIRONMENT.Activation(
        {"request": in_cel_types(plain), "requester": requester_view(requester, directory), "numbers": dict(numbers)}
    )


def requester_view(requester: str | None, directory: Directory) -> dict[str, Any]:
    """Who asked, as conditions see them."""
    if requester is None:
        return {"known": False, "groups": [], "roles": []}
    user = directory.user_of(requester)
    if user is None:
        return {"id": requester, "known": False, "groups": [], "roles": []}
    names = directory.names_of(user)
    entry = directory.users[user]
    view = {
        "id": user,
        "known": True,
        "name": entry.name,
        "manager": entry.manager,
        "groups": sorted(names & directory.groups.keys()),
        "roles": sorted(names & directory.roles.keys()),
    }
    return {name: value for name, value in view.items() if value is not None}


def comparable(amount: Decimal) -> float:
    """A double that is below, equal to or above each number of up to 15 digits exactly as the amount is.

    An amount of more digits equals none of them: it becomes the middle between its two neighbours among them.
    """
    below = _FIFTEEN.plus(amount)
    if below == amount:
        return float(below)
    half = Decimal((0, (5,), below.adjusted() - DIGITS_MAX))
    return float(below + half)


_FIFTEEN = Context(prec=DIGITS_MAX, rounding=ROUND_DOWN)
