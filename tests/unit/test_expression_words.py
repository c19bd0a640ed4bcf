"""What is wrong with an expression is said in words for who writes bindings, not in those of CEL's parser."""

from __future__ import annotations

from typing import Any

import pytest

from sayso.correlation.expressions import Expression
from sayso.errors import MalformedError


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("event.data.x +", "at character 15: it ends too early"),
        ("string(event.data.number", "a `)` is missing at the end"),
        ("event.data.(x)", "`.(` is not understood here"),
        ("'abc", "`'abc` is not understood here"),
        ("evnt.data.x", 'there is no "evnt.data.x"; an expression knows `event` and the functions of CEL'),
        ("1 + 'x'", "`+` does not go with a whole number and text; convert with string(…)"),
        ("event.data.x in 3", "`in` does not go with any value and a whole number"),
    ],
)
def test_what_is_written_wrongly(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        Expression(text)
    assert says in str(caught.value)
    assert not [jargon for jargon in ("overload", "Syntax error", "undeclared", "EOF", "IDENTIFIER") if jargon in str(caught.value)]


@pytest.mark.parametrize(
    ("text", "data", "says"),
    [
        ("event.data.a + event.data.b", {"a": "x", "b": 1}, "`+` does not go with text and a whole number"),
        ("event.data.a > 3", {"a": "x"}, "`>` does not go with text and a whole number"),
        ("event.data.q", {"a": "x"}, 'the event has no "q"'),
        ("event.data.a.b", {"a": "x"}, "a field is asked of something that is no object"),
    ],
)
def test_what_an_event_does_not_have(text: str, data: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedError) as caught:
        Expression(text).evaluate({"data": data})
    assert says in str(caught.value)
