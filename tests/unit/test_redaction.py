"""What is taken out of a text when a person is erased, and what stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis.strategies import dictionaries, lists, none, recursive, sampled_from, text

from sayso.ledger.redaction import Redaction

BOB = Redaction("bob")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("used by bob, Bob and BOB.", "used by (erased), (erased) and (erased)."),
        ("bobby, bob@example.com, bob.smith, bob-2, kebob", "bobby, bob@example.com, bob.smith, bob-2, kebob"),
        ('{"approver":" Bob","reason":"my wife is ill"}', '{"approver": "(erased)", "reason": "(erased)"}'),
        ('{"approver":"alice","reason":"bob asked me to"}', '{"approver": "alice", "reason": "(erased) asked me to"}'),
        ('{"seats":[{"holder":"bob","stand_ins":["carol"]}]}', '{"seats": [{"holder": "(erased)", "stand_ins": ["carol"]}]}'),
        ("\"Approved by 'bob'\"", "\"Approved by '(erased)'\""),
        ('{"data":"{\\"approver\\":\\"bob\\"}"}', '{"data": "{\\"approver\\": \\"(erased)\\"}"}'),
    ],
)
def test_a_name_goes_wherever_it_stands_as_a_word(before: str, after: str) -> None:
    assert BOB.of(before) == after


@pytest.mark.parametrize("text_", ["", "no name here", "[1, 2]", '{"a":   1}', "{", "bobsled", "17"])
def test_what_does_not_name_them_stays_byte_for_byte(text_: str) -> None:
    assert BOB.of(text_) == text_
    assert not BOB.mentions(text_)


def test_an_address_and_a_name_of_several_words_are_persons_too() -> None:
    assert Redaction("bob@example.com").of("to bob@example.com, bob") == "to (erased), bob"
    assert Redaction("Zoë Ä.").of('{"by": "ZOË Ä."}') == '{"by": "(erased)"}'


NAMES = sampled_from(["bob", "Bob", "alice", "approver", "reason", "x"])
DOCUMENTS = recursive(NAMES | none() | text(), lambda inner: lists(inner) | dictionaries(NAMES, inner))


@given(DOCUMENTS)
def test_nothing_is_left_of_them_in_any_document_and_a_second_time_changes_nothing(document: object) -> None:
    once = BOB.of(json.dumps(document))
    assert '"bob"' not in once.casefold()
    assert BOB.of(once) == once
