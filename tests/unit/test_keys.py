"""Business keys: text or the digits of a whole number; everything else is refused with words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayso.correlation.expressions import Expression, key_of
from sayso.errors import MalformedError


@pytest.mark.parametrize(("value", "key"), [("PO-1", "PO-1"), (7, "7"), (0, "0"), (-3, "-3"), (2**80, str(2**80)), (" a ", " a ")])
def test_text_and_whole_numbers_are_keys(value: Any, key: str) -> None:
    assert key_of(value) == key


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "the key must be text or a whole number, not true"),
        (False, "the key must be text or a whole number, not false"),
        (None, "the key must be text or a whole number, not null"),
        (1.0, "the key must be text or a whole number, not 1.0"),
        ([], "the key must be text or a whole number, not []"),
        ({"a": 1}, 'the key must be text or a whole number, not {"a": 1}'),
        (b"PO", "the key must be text or a whole number, not"),
        ("", "the key is empty"),
        (" \t\n", "the key is empty"),
        ("x" * 501, "the key has 501 characters; at most 500"),
        ("a\x00b", "the key contains a NUL character"),
    ],
)
def test_what_is_no_key_says_why(value: Any, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        key_of(value)
    assert str(caught.value).startswith(words)


@given(st.text(min_size=1, max_size=500).filter(lambda text: text.strip() and "\x00" not in text))
def test_any_other_text_is_a_key_as_it_is(text: str) -> None:
    assert key_of(text) == text


@pytest.mark.parametrize("text", ["", "event.", "1 +", "event.data.a b", "unknown.data", "nofunction(event.data)"])
def test_an_expression_that_cannot_be_compiled_is_refused_at_load(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        Expression(text)
    assert "\n" not in str(caught.value)
    assert "INVALID_ARGUMENT" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("event.data.a", '`event.data.a`: the event has no "a"'),
        ("event.nothing", '`event.nothing`: the event has no "nothing"'),
        ("event.id.a", "`event.id.a`: a field is asked of something that is no object, or is missing"),
        ("event.data.number / 0", "`event.data.number / 0`: "),
        ('event.data.number + "a"', '`event.data.number + "a"`: '),
        ("event.data.list[5]", "`event.data.list[5]`: "),
        ("int(event.id)", "`int(event.id)`: "),
    ],
)
def test_an_expression_without_a_value_says_which_and_why(text: str, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        Expression(text).evaluate({"id": "e-1", "data": {"number": 1, "list": []}})
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "boolean", "key"),
    [
        ("event.data.a", True, True),
        ("event.data.a == 1", True, False),
        ('"text"', False, True),
        ("1", False, True),
        ("1.5", False, False),
        ("[1]", False, False),
        ("size(event.data.a)", False, True),
        ("has(event.data.a)", True, False),
    ],
)
def test_the_kind_of_an_expression_is_known_at_load_where_it_can_be(text: str, boolean: bool, key: bool) -> None:
    expression = Expression(text)
    assert (expression.returns_boolean(), expression.returns_key()) == (boolean, key)
