"""Conditions of policies: amounts compare exactly, the requester is whom the directory knows, and slips show at load."""

from __future__ import annotations

from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from policy_desk import PEOPLE, purchase

from sayso.contracts.requests import PurchaseRequested
from sayso.directory import Directory
from sayso.errors import MalformedError
from sayso.policy.conditions import Condition, Vocabulary, comparable, view_of

WORDS = Vocabulary.of(PurchaseRequested, {"limit": Decimal("999.99")})
NUMBERS = {"limit": 999.99}


def people() -> Directory:
    return Directory.model_validate(yaml.safe_load(PEOPLE))


def holds(text: str, requester: str | None = "alice", **request: object) -> bool:
    return Condition(text, WORDS).holds(view_of(purchase(**request), requester, people(), NUMBERS, WORDS))


AMOUNTS = st.decimals(0, Decimal(999999999999999999), places=10)
THRESHOLDS = st.one_of(
    st.integers(0, 10**15 - 1).map(Decimal),
    st.tuples(st.integers(0, 10**15 - 1), st.integers(0, 10)).map(lambda pair: Decimal(pair[0]).scaleb(-pair[1])),
    st.sampled_from([Decimal(1000), Decimal("999.99"), Decimal("0.1"), Decimal("0.30")]),
)
NEAR = st.integers(-3, 3).map(lambda steps: steps * Decimal("1e-10"))


@given(threshold=THRESHOLDS, amount=AMOUNTS, step=NEAR, near=st.booleans())
def test_an_amount_compares_with_a_threshold_as_decimals_do(threshold: Decimal, amount: Decimal, step: Decimal, near: bool) -> None:
    amount = max(threshold + step, Decimal(0)) if near else amount
    double, other = comparable(amount), float(threshold)
    assert (double < other, double == other, double > other) == (amount < threshold, amount == threshold, amount > threshold)


@pytest.mark.parametrize(
    ("cost", "below_1000", "below_limit"),
    [
        ("999.98", True, True),
        ("999.99", True, False),
        ("999.9900000001", True, False),
        ("999.9999999999", True, False),
        ("1000", False, False),
        ("1000.0000000000", False, False),
        ("1000.0000000001", False, False),
        ("999999999999999999.9999999999", False, False),
    ],
)
def test_exactly_on_the_threshold_is_not_below_it(cost: str, below_1000: bool, below_limit: bool) -> None:
    assert holds("request.cost < 1000", cost=cost) is below_1000
    assert holds("request.cost < 1000.00", cost=cost) is below_1000
    assert holds("request.cost < numbers.limit", cost=cost) is below_limit
    assert holds("request.cost >= 1000", cost=cost) is not below_1000


def test_an_amount_of_many_digits_equals_no_threshold_that_it_is_not() -> None:
    assert not holds("request.cost == 999999999999999", cost="999999999999999.0000000001")
    assert holds("request.cost > 999999999999999", cost="999999999999999.0000000001")
    assert holds("request.cost < 1000000000000000000.0", cost="999999999999999999.9999999999")


@pytest.mark.parametrize(
    ("requester", "text"),
    [
        ("alice", 'requester.known && requester.id == "alice" && has(requester.id) && requester.groups == ["staff"]'),
        (" ALICE", 'has(requester.manager) && requester.manager == "bob" && has(requester.name) && requester.name == "Alice"'),
        ("bob", '"board" in requester.roles && !("director" in requester.roles)'),
        ("carol", "!has(requester.manager) && size(requester.roles) == 2"),
        ("zoe", '!requester.known && has(requester.id) && requester.id == "zoe" && requester.groups == []'),
        (None, "!requester.known && !has(requester.id)"),
    ],
)
def test_the_requester_is_as_the_directory_knows_them(requester: str | None, text: str) -> None:
    assert holds(text, requester)


def test_a_field_that_is_null_is_not_there() -> None:
    assert not holds("has(request.category)", category=None)
    assert holds('has(request.category) && request.category == "it"', category="it")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("request.csot < 1", '`request` has no "csot"; did you mean "cost"?'),
        ("requester.group == []", '`requester` has no "group"; did you mean "groups"?'),
        ("request.cost < numbers.limt", '`numbers` has no "limt"; did you mean "limit"?'),
        ('request.category == "it"', "`request.category` may be missing: write `has(request.category) && …`"),
        ('requester.manager == "bob"', "`requester.manager` may be missing"),
        ("request.cost < 1234567890123456", "1234567890123456 has more than 15 digits"),
        ("request.cost <", "it ends too early"),
        ("cost < 1", 'there is no "cost"; an expression knows `request`, `requester`, `numbers` and the functions of CEL'),
        ("request.quantity + 1", "it is not a condition: it must be true or false"),
        ('"yes"', "it is not a condition"),
        (" ", "the condition is empty"),
    ],
)
def test_a_slip_shows_at_load(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        Condition(text, WORDS)
    assert says in str(caught.value)


def test_words_in_texts_are_no_fields() -> None:
    assert not holds('request.product == "request.csot 12345678901234567"')


def test_what_is_neither_true_nor_false_is_malformed() -> None:
    with pytest.raises(MalformedError, match="neither true nor false"):
        holds("request.quantity")
    with pytest.raises(MalformedError, match="`<` does not go with a number with a point and text"):
        holds('request.cost < "a"')
