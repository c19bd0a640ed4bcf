"""Amounts are exact decimals; what is no amount is refused with words."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sayso.contracts.cloudevent import parse_event
from sayso.contracts.money import Amount, Currency
from sayso.contracts.payload import explain


class Price(BaseModel):
    amount: Amount
    currency: Currency = "USD"


def price(literal: str) -> Price:
    """A price whose amount stands in JSON as `literal`."""
    envelope = '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"amount":' + literal + "}}"
    return Price.model_validate(parse_event(envelope.encode()).data)


@pytest.mark.parametrize(
    ("literal", "written"),
    [
        ("999.99", "999.99"),
        ('"999.99"', "999.99"),
        ("1000", "1000"),
        ("1000.00", "1000.00"),
        ('"1000.00"', "1000.00"),
        ("0", "0"),
        ("0.1", "0.1"),
        ("1e3", "1000"),
        ('"1E+3"', "1000"),
        ("1.5e-3", "0.0015"),
        ('" 12.50 "', "12.50"),
        ('"+5"', "5"),
        ("999999999999999999.9999999999", "999999999999999999.9999999999"),
        ('"0.0000000001"', "0.0000000001"),
    ],
)
def test_an_amount_is_exact_and_written_without_an_exponent(literal: str, written: str) -> None:
    assert json.loads(price(literal).model_dump_json())["amount"] == written


def test_the_threshold_is_met_exactly() -> None:
    assert price("999.99").amount < 1000
    assert price("999.9999999999").amount < 1000
    assert not price("1000").amount < 1000
    assert not price("1000.00").amount < 1000
    assert price("1000").amount == price("1000.00").amount == price('"1e3"').amount


@pytest.mark.parametrize(
    ("literal", "words"),
    [
        ("-1", "greater than or equal to 0"),
        ('"-0.01"', "greater than or equal to 0"),
        ("true", "not a boolean"),
        ("false", "not a boolean"),
        ("null", "decimal input should be"),
        ("[1]", "decimal input should be"),
        ('{"value": 1}', "decimal input should be"),
        ('"NaN"', 'a decimal string such as "1250.00"'),
        ('"sNaN"', 'a decimal string such as "1250.00"'),
        ('"Infinity"', 'a decimal string such as "1250.00"'),
        ('""', 'a decimal string such as "1250.00"'),
        ('"ten"', 'a decimal string such as "1250.00"'),
        ('"1_000"', 'a decimal string such as "1250.00"'),
        ('"1,000.00"', 'a decimal string such as "1250.00"'),
        ('"1.000,00"', 'a decimal string such as "1250.00"'),
        ('"0x10"', 'a decimal string such as "1250.00"'),
        ('"$5"', 'a decimal string such as "1250.00"'),
        ('"\u0661\u0660\u0660\u0660"', 'a decimal string such as "1250.00"'),
        ("1e20", "no more than 18 digits before the decimal point"),
        ("1e999999999", "finite number"),
        ('"1e-999999999"', "no more than"),
        ("0.00000000001", "no more than 10 decimal places"),
        ('"12345678901234567890123456789"', "no more than 28 digits"),
    ],
)
def test_what_is_no_amount_says_why(literal: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        price(literal)
    assert words in explain(caught.value)
    assert explain(caught.value).startswith("`amount`: ")


@pytest.mark.parametrize(("given_float", "exact"), [(999.99, "999.99"), (0.1, "0.1"), (1000.0, "1000.0")])
def test_a_float_counts_as_what_it_prints(given_float: float, exact: str) -> None:
    assert Price(amount=given_float).amount == Decimal(exact)  # type: ignore[arg-type]


@given(st.decimals(min_value=0, max_value=10**17, places=2))
def test_any_amount_survives_the_way_there_and_back(amount: Decimal) -> None:
    there = Price(amount=amount).model_dump_json()
    back: Any = Price.model_validate_json(there)
    assert back.amount == amount


@pytest.mark.parametrize(("code", "kept"), [("usd", "USD"), ("EUR", "EUR"), ("cHf", "CHF")])
def test_a_currency_is_three_letters_in_upper_case(code: str, kept: str) -> None:
    assert Price(amount=Decimal(1), currency=code).currency == kept


@pytest.mark.parametrize("code", ["", "US", "USDT", "U1D", "€€€", "US\n", " USD"])
def test_another_currency_is_refused(code: str) -> None:
    with pytest.raises(ValidationError):
        Price(amount=Decimal(1), currency=code)
