"""CEL expressions over an event, compiled once; over a webhook's `body` and `headers` too.

In: text of an expression with one variable, `event` (source, id, type, subject, data, and the extension attributes), or with others.
Out: a compiled expression; evaluating it gives a plain value or raises `MalformedError`. Wrong names and syntax show at load.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from typing import Any

from cel_expr_python import cel

from sayso.contracts.cloudevent import IncomingEvent
from sayso.errors import MalformedError

EVENT = ("event",)


@cache
def _environment(names: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables={name: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for name in names})


class Expression:
    """One compiled CEL expression. `ValueError` at construction says what is wrong with the text."""

    def __init__(self, text: str, names: tuple[str, ...] = EVENT) -> None:
        self.text = text
        if not text.strip():
            raise ValueError("the expression is empty")
        try:
            self._compiled = _environment(names).compile(text)
        except RuntimeError as error:
            raise ValueError(complaint(error, names=names)) from error

    def returns_boolean(self) -> bool:
        """Whether the type checker knows, or cannot exclude, a boolean."""
        return self._compiled.return_type() in (cel.Type.BOOL, cel.Type.DYN)

    def returns_key(self) -> bool:
        """Whether the type checker knows, or cannot exclude, text or a whole number."""
        return self._compiled.return_type() in (cel.Type.STRING, cel.Type.INT, cel.Type.UINT, cel.Type.DYN)

    def evaluate(self, view: dict[str, Any]) -> Any:
        """The expression's value for `view`, made by `view_of`; `MalformedError` when it has none."""
        return self.evaluate_on({"event": view})

    def evaluate_on(self, views: dict[str, Any]) -> Any:
        """The same for other variables, each in CEL's types (`in_cel_types`)."""
        try:
            value = self._compiled.eval(data=views)
            plain = value.plain_value() if value.type() != cel.Type.ERROR else value.value()
        except RuntimeError as error:
            raise MalformedError(f"`{self.text}`: {complaint(error)}") from error
        if value.type() == cel.Type.ERROR:
            raise MalformedError(f"`{self.text}`: {complaint(plain)}")
        return plain


def view_of(event: IncomingEvent) -> dict[str, Any]:
    """The event as expressions see it, in CEL's types.

    CEL has no decimals, so numbers with a point are doubles here (and only here); it has no whole numbers beyond 64 bits, and what is
    that long is an identifier, so it is the text of its digits. A field that is null counts as absent, for `has` too: many
    systems write the fields that they leave out as null.
    """
    view: dict[str, Any] = in_cel_types(event.attributes | {"data": event.data})
    return {"subject": "", "data": None} | view


def key_of(value: Any) -> str:
    """The business key that a key expression gave: text, or a whole number's digits."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise MalformedError(f"the key must be text or a whole number, not {json.dumps(value, default=str)}")
    key = str(value)
    if not key.strip():
        raise MalformedError("the key is empty")
    if len(key) > KEY_CHARACTERS_MAX:
        raise MalformedError(f"the key has {len(key)} characters; at most {KEY_CHARACTERS_MAX}")
    if "\x00" in key:
        raise MalformedError("the key contains a NUL character")
    return key


KEY_CHARACTERS_MAX = 500


INT64_MAX = 2**63 - 1


def in_cel_types(value: Any) -> Any:
    """JSON with decimals as CEL knows it: doubles, 64-bit whole numbers, text; what is null is left out."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, int) and not -INT64_MAX <= value <= INT64_MAX:
        return str(value)
    if isinstance(value, dict):
        return {name: in_cel_types(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [in_cel_types(inner) for inner in value]
    return value


COMPLAINT_CHARACTERS_MAX = 300
PREFIXES = ("INVALID_ARGUMENT: ", "NOT_FOUND: ", "UNKNOWN: ", "ERROR: ", "<input>:")
WORDS = (
    (r'Key not found in map : (".*")$', r"{subject} has no \1"),
    (r".*Applying SELECT to non-message type.*", "a field is asked of something that is no object, or is missing"),
    (r"undeclared reference to '(.+?)'.*", r'there is no "\1"; an expression knows {names} and the functions of CEL'),
    (r"Syntax error: mismatched input '<EOF>'.*", "it ends too early"),
    (r"Syntax error: missing '(.+?)' at '<EOF>'.*", r"a `\1` is missing at the end"),
    (r"Syntax error: [a-z ]+:? '(.*?)'(?: expecting.*)?$", r"`\1` is not understood here"),
)
"""CEL's words for what people write, and ours."""

NO_OVERLOAD = re.compile(
    r"(?:found no matching overload for '|No matching overloads found : )([\w@+*/%<>=-]+)'?(?: applied to ')?\((.*)\)"
)
OPERATORS = {
    "_+_": "+",
    "_-_": "-",
    "_*_": "*",
    "_/_": "/",
    "_%_": "%",
    "_<_": "<",
    "_<=_": "<=",
    "_>_": ">",
    "_>=_": ">=",
    "@in": "in",
}
TYPES = {
    "string": "text",
    "int": "a whole number",
    "int64": "a whole number",
    "uint": "a whole number",
    "double": "a number with a point",
    "bool": "true or false",
    "dyn": "any value",
    "map": "an object",
    "list": "a list",
}


def complaint(error: object, *, subject: str = "the event", names: tuple[str, ...] = EVENT) -> str:
    """What is wrong, in words for who writes bindings or policies, and at which character."""
    known = ", ".join(f"`{name}`" for name in names)
    line = str(error).strip().splitlines()[0][:COMPLAINT_CHARACTERS_MAX]
    for prefix in PREFIXES:
        line = line.removeprefix(prefix)
    place = re.match(r"(\d+):(\d+): ", line)
    line = line[place.end() :] if place else line
    overload = NO_OVERLOAD.search(line)
    if overload:
        kinds = " and ".join(TYPES.get(kind.strip(), kind.strip()) for kind in overload[2].split(","))
        line = f"`{OPERATORS.get(overload[1], overload[1])}` does not go with {kinds}; convert with string(…), int(…) or double(…)"
    for pattern, ours in WORDS:
        line = re.sub(pattern, ours.replace("{subject}", subject).replace("{names}", known), line)
    return f"at character {place[2]}: {line}" if place else line
