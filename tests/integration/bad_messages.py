"""Messages that no sender should send: what each is, and the reason that a person must read for it.

In: nothing. Out: `REJECTED` and `UNMATCHED`, label → (bytes, reason), for the topic `purchases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shop_events import Event, encoded, payment, purchase

ENVELOPE = "a CloudEvent needs `specversion`, `id`, `source` and `type`"
OF_PURCHASE = "`data` of com.acme.purchase.requested.v1"
NO_OBJECT = "`event.data.order_id`: a field is asked of something that is no object, or is missing"


def with_fields(**fields: Any) -> bytes:
    """A purchase whose data has these fields."""
    order = purchase("PO-bad")
    order["data"].update(fields)
    return encoded(order)


def with_attributes(**attributes: Any) -> bytes:
    """A purchase whose envelope has these attributes."""
    return encoded({**purchase("PO-bad"), **attributes})


def without(name: str, event: Event | None = None) -> bytes:
    """A purchase without this attribute."""
    order = purchase("PO-bad")
    del order[name]
    return encoded(order)


def edited(old: bytes, new: bytes) -> bytes:
    """A purchase whose bytes were edited by hand."""
    body = encoded(purchase("PO-bad", product="Laptop"))
    assert old in body
    return body.replace(old, new)


def without_key() -> bytes:
    order = purchase("PO-bad")
    del order["data"]["order_id"]
    return encoded(order)


REJECTED: Mapping[str, tuple[bytes, str]] = {
    "not JSON": (b"this is not json", "not JSON: Expecting value at line 1, column 1"),
    "cut off": (b'{"specversion": "1.0", ', "not JSON: Expecting property name enclosed in double quotes at line 1, column 24"),
    "invalid UTF-8": (b"\xff\xfe not json", "not UTF-8: byte 0 is 0xff"),
    "empty": (b"", "the message is empty"),
    "blanks": (b" \n ", "the message is empty"),
    "an array": (b"[]", "a CloudEvent is a JSON object, this is a JSON array"),
    "null": (b"null", "a CloudEvent is a JSON object, this is a JSON null"),
    "no id": (without("id"), f"no `id`: {ENVELOPE}"),
    "no specversion": (without("specversion"), f"no `specversion`: {ENVELOPE}"),
    "no source": (without("source"), f"no `source`: {ENVELOPE}"),
    "no type": (without("type"), f"no `type`: {ENVELOPE}"),
    "another specversion": (with_attributes(specversion="0.3"), '`specversion` is "0.3"; Sayso reads CloudEvents "1.0"'),
    "an id that is a number": (with_attributes(id=17), "`id` must be a non-empty text"),
    "a control character in the id": (
        with_attributes(id="a\x07b"),
        "`id` contains a control character, which CloudEvents forbids",
    ),
    "no data": (without("data"), NO_OBJECT),
    "data that is a list": (with_attributes(data=[1]), NO_OBJECT),
    "no key": (without_key(), '`event.data.order_id`: the event has no "order_id"'),
    "a key that is true": (with_fields(order_id=True), "the key must be text or a whole number, not true"),
    "an empty key": (with_fields(order_id=""), "the key is empty"),
    "a key that is too long": (with_fields(order_id="x" * 501), "the key has 501 characters; at most 500"),
    "words for an amount": (
        with_fields(cost="twelve"),
        f'{OF_PURCHASE}: `cost`: an amount is a number or a decimal string such as "1250.00"',
    ),
    "text for a quantity": (with_fields(quantity="1"), f"{OF_PURCHASE}: `quantity`: input should be a valid integer"),
    "a negative amount": (with_fields(cost=-1), f"{OF_PURCHASE}: `cost`: input should be greater than or equal to 0"),
    "NaN": (edited(b'"1250.00"', b"NaN"), "not usable JSON: NaN is not a JSON number"),
    "Infinity": (edited(b'"1250.00"', b"-Infinity"), "not usable JSON: -Infinity is not a JSON number"),
    "a name twice": (edited(b'"cost"', b'"cost": 1, "cost"'), "not usable JSON: the name 'cost' appears twice in one object"),
    "deep nesting": (b"[" * 100_000, "JSON nested more than 100 levels deep"),
    "deep nesting in data": (edited(b'"1250.00"', b"[" * 150 + b"]" * 150), "JSON nested more than 100 levels deep"),
    "half a surrogate pair": (edited(b"Laptop", b"\\ud800"), "text with an unpaired UTF-16 surrogate"),
    "a NUL character": (edited(b"Laptop", b"\\u0000"), "not usable JSON: text with a NUL character (U+0000)"),
    "a raw control character": (edited(b"Laptop", b"Lap\x01top"), "not JSON: Invalid control character at at line 1, column "),
    "a number beyond all numbers": (
        edited(b'"1250.00"', b"1e99999999999999999999"),
        "a number's exponent is out of every range",
    ),
    "a huge number": (edited(b'"1250.00"', b"9" * 5000), "a whole number has more than 4300 digits"),
    "900 kB of one letter": (b"x" * 900_000, "not JSON: Expecting value at line 1, column 1"),
}
"""The reason is exact, or begins so where a position or size follows."""

UNMATCHED: Mapping[str, tuple[bytes, str]] = {
    "a misspelt type": (
        with_attributes(type="com.acme.purchase.requestd.v1"),
        'no binding for type "com.acme.purchase.requestd.v1" on topic "purchases"; did you mean "com.acme.purchase.requested.v1"?',
    ),
    "another topic's type": (
        encoded(payment("PO-bad")),
        'no binding for type "com.acme.payment.captured.v1" on topic "purchases"; one takes it on payments',
    ),
}
