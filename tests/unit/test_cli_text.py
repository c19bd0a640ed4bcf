"""What the command line prints and reads, piece by piece."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayso.cli.event_files import members, split_events
from sayso.cli.json_text import compact, indented
from sayso.cli.output import ago, argument, printable, shortened

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
"""Nested and mixed, and small: what matters is what stands beside what."""


@given(st.text())
def test_printable_text_steers_nothing_and_shortening_keeps_its_width(text: str) -> None:
    assert printable(text).isprintable()
    assert len(shortened(text, 20)) <= 20


@given(VALUES)
def test_indenting_and_compacting_change_nothing_that_is_said(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(indented(text)) == value
    assert json.loads(compact(text, len(text) + 1)) == value


def test_indenting_keeps_numbers_names_and_order_as_written() -> None:
    assert indented('{"b":1200.50,"a":[],"b":1e5}') == '{\n  "b": 1200.50,\n  "a": [],\n  "b": 1e5\n}'


def test_what_is_not_json_is_left_as_it_is() -> None:
    assert indented("{not json") == "{not json"


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_the_members_of_an_object_are_found_as_written(document: dict[str, object]) -> None:
    found = members(json.dumps(document, indent=1))
    assert found is not None
    assert {name: json.loads(text) for name, text in found.items()} == document


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=4), min_size=1, max_size=4))
def test_an_array_lines_and_single_events_split_alike(documents: list[dict[str, object]]) -> None:
    array, lines = json.dumps(documents), "\n".join(json.dumps(document) for document in documents)
    for text in (array, lines):
        assert [json.loads(each) for each in split_events(text.encode(), "x")] == documents


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(minutes=10), "10 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=5), "5 days ago"),
        (-timedelta(hours=24), "in 24 h"),
        (-timedelta(seconds=3), "in 3 s"),
    ],
)
def test_times_are_told_from_now(span: timedelta, words: str) -> None:
    assert ago(NOW - span, NOW) == words


@pytest.mark.parametrize(("key", "typed"), [("PO-1", "PO-1"), ("a b", "'a b'"), ("-x", "ID"), ("\x1b", "ID"), ("k" * 81, "ID")])
def test_a_hint_can_be_typed(key: str, typed: str) -> None:
    assert argument(key, "ID") == typed
