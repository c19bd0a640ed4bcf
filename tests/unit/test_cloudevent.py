"""CloudEvents in: every malformed message gets words that a person understands; everything else is kept as it is."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayso.contracts.cloudevent import JSON_LEVELS_MAX, IncomingEvent, format_event, parse_event
from sayso.errors import MalformedError

ENVELOPE: dict[str, Any] = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "com.acme.thing.v1"}

NAUGHTY = [
    "",
    "   ",
    "undefined",
    "null",
    "NaN",
    "1e400",
    "<script>alert(1)</script>",
    "'; DROP TABLE events; --",
    "$(touch /tmp/x)",
    "{{7*7}}",
    "%s%n%x",
    "../../etc/passwd",
    "ﷺ ﷽ 𒐫",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "Ω≈ç√∫µ≤≥÷ 田中さんにあげて下さい",
    "\u202eright to left\u202d",
    "\u200b\ufeff\u2028\u2029",
    "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮",
    "\t\n\r\u0001\u001f\u007f\u0085",
    "a" * 10_000,
    "| @ / \\ # ?",
]


def raw(**fields: Any) -> bytes:
    return json.dumps(ENVELOPE | fields).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in ENVELOPE.items() if key != name}).encode()


def with_data(text: str) -> bytes:
    """`text` as the data, letter by letter."""
    return raw().removesuffix(b"}") + b', "data": ' + text.encode() + b"}"


def refusal(message: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_event(message)
    return str(caught.value)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "the message is empty"),
        (b" \n\t ", "the message is empty"),
        (b"\xff\xfe not json", "not UTF-8: byte 0 is 0xff"),
        (b'{"id": "caf\xe9"}', "not UTF-8: byte 11 is 0xe9"),
        (b"hello", "not JSON: Expecting value at line 1, column 1"),
        (b'{"id": "1",', "not JSON: Expecting property name enclosed in double quotes at line 1, column 12"),
        (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
        (b"{'id': 1}", "not JSON"),
        (b"[]", "a CloudEvent is a JSON object, this is a JSON array"),
        (b'"text"', "this is a JSON string"),
        (b"12", "this is a JSON number"),
        (b"1.5", "this is a JSON number"),
        (b"true", "this is a JSON boolean"),
        (b"null", "this is a JSON null"),
        (with_data("NaN"), "NaN is not a JSON number"),
        (with_data("-Infinity"), "-Infinity is not a JSON number"),
        (with_data('{"a": 1, "a": 2}'), "the name 'a' appears twice in one object"),
        (with_data("[" * 100_000), f"JSON nested more than {JSON_LEVELS_MAX} levels deep"),
        (with_data('{"a":' * 100_000), f"JSON nested more than {JSON_LEVELS_MAX} levels deep"),
        (with_data("9" * 5_000), "a whole number has more than 4300 digits"),
        (with_data("1e99999999999999999999"), "a number's exponent is out of every range"),
        (with_data(r'"\ud800"'), "text with an unpaired UTF-16 surrogate"),
        (with_data(r'{"\udfff": 1}'), "text with an unpaired UTF-16 surrogate"),
        (with_data(r'"a\u0000b"'), "text with a NUL character (U+0000)"),
        (with_data('"a\x01b"'), "not JSON: Invalid control character"),
    ],
)
def test_what_is_no_usable_json_says_so(message: bytes, words: str) -> None:
    assert words in refusal(message)


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
def test_a_missing_attribute_is_named(name: str) -> None:
    assert refusal(without(name)).startswith(f"no `{name}`: a CloudEvent needs")
    assert refusal(raw(**{name: None})).startswith(f"no `{name}`: a CloudEvent needs")


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
@pytest.mark.parametrize("value", [5, 1.5, True, [], {}, "", "  "])
def test_an_attribute_of_the_wrong_kind_is_named(name: str, value: object) -> None:
    assert refusal(raw(**{name: value})) == f"`{name}` must be a non-empty text"


@pytest.mark.parametrize("name", ["id", "source", "type"])
@pytest.mark.parametrize("value", ["a\x07b", "a\nb", "a\x7f", "a\x85"])
def test_a_control_character_in_an_attribute_is_refused(name: str, value: str) -> None:
    assert refusal(raw(**{name: value})) == f"`{name}` contains a control character, which CloudEvents forbids"


def test_an_endless_attribute_is_refused() -> None:
    assert refusal(raw(id="x" * 2_001)) == "`id` has 2001 characters; at most 2000"
    assert parse_event(raw(id="x" * 2_000)).id == "x" * 2_000


def test_another_version_of_cloudevents_is_refused() -> None:
    assert refusal(raw(specversion="0.3")) == '`specversion` is "0.3"; Sayso reads CloudEvents "1.0"'


@pytest.mark.parametrize(
    ("attribute", "value"), [("time", "yesterday"), ("time", ""), ("subject", 5), ("datacontenttype", 5), ("dataschema", [])]
)
def test_a_context_attribute_of_the_wrong_type_is_named(attribute: str, value: object) -> None:
    words = refusal(raw(**{attribute: value}))
    assert words.startswith("not a valid CloudEvent: ")
    assert f"`{attribute}`" in words


@pytest.mark.parametrize("attribute", ["time", "subject", "datacontenttype", "dataschema", "data", "data_base64", "traceparent"])
def test_an_optional_attribute_that_is_null_counts_as_absent(attribute: str) -> None:
    assert parse_event(raw(**{attribute: None})).identity == parse_event(raw()).identity


@pytest.mark.parametrize("value", [5, None, ["a"], {"a": 1}, True, ""])
def test_a_traceparent_of_any_kind_costs_no_event(value: object) -> None:
    event = parse_event(raw(traceparent=value))
    assert isinstance(event.attributes.get("traceparent", ""), str)


@pytest.mark.parametrize("value", [5, 1.5, None, True, ["a"], {"a": {"b": 1}}, "text", ""])
@pytest.mark.parametrize("name", ["region", "self", "attributes", "Region", "_x", "x" * 300, "expiration"])
def test_extension_attributes_of_any_name_and_kind_are_kept(name: str, value: object) -> None:
    event = parse_event(raw(**{name: value}))
    assert event.attributes[name] == value
    assert event.id == "e-1"


def test_an_attribute_that_differs_only_by_case_changes_nothing() -> None:
    event = parse_event(raw(ID="forged", Source="forged"))
    assert (event.id, event.source) == ("e-1", "/shop")


def test_numbers_stay_exact() -> None:
    data = parse_event(with_data('{"a": 0.1, "b": 12345678901234567890123, "c": 1000.00, "d": 1e400}')).data
    assert data == {"a": Decimal("0.1"), "b": 12345678901234567890123, "c": Decimal("1000.00"), "d": Decimal("1e400")}
    assert str(data["c"]) == "1000.00"


def test_binary_data_that_is_json_is_read_as_json() -> None:
    encoded = base64.b64encode(b'{"order_id": "PO-1"}').decode()
    assert parse_event(raw(data_base64=encoded)).data == {"order_id": "PO-1"}
    assert parse_event(raw(data_base64=encoded, datacontenttype="application/vnd.acme+json; charset=utf-8")).data == {
        "order_id": "PO-1"
    }
    assert parse_event(raw(data_base64=base64.b64encode(b"[1]").decode())).data == [1]


def test_an_object_that_was_encoded_twice_is_read_as_that_object() -> None:
    assert parse_event(raw(data='{"order_id": "PO-1", "amount": 12.50}')).data == {"order_id": "PO-1", "amount": Decimal("12.50")}


@pytest.mark.parametrize("text", ["", "{", "{not json}", "[1]", "12", '"{}"', '{"a": 1, "a": 2}'])
def test_any_other_text_stays_the_text_that_it_is(text: str) -> None:
    assert parse_event(raw(data=text)).data == text


def test_binary_data_of_another_kind_is_text() -> None:
    encoded = base64.b64encode(b"\x01\xff").decode()
    assert parse_event(raw(data_base64=encoded, datacontenttype="application/octet-stream")).data == "\x01\ufffd"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data_base64": "%%"}, "`data_base64` is not base64"),
        ({"data_base64": 5}, "`data_base64` is not base64"),
        ({"data_base64": "aGVsbG8"}, "`data_base64` is not base64"),
        ({"data_base64": "e30=", "data": {}}, "both `data` and `data_base64` are set"),
        ({"data_base64": base64.b64encode(b"no json").decode()}, "not JSON"),
        ({"data_base64": base64.b64encode(b"[" * 5000).decode()}, "nested more than"),
    ],
)
def test_broken_binary_data_says_so(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(raw(**fields))


@pytest.mark.parametrize("depth", [1, 50, JSON_LEVELS_MAX - 1])
def test_nesting_up_to_the_limit_is_fine(depth: int) -> None:
    parse_event(with_data("[" * depth + "]" * depth))  # the event itself is the first level


@pytest.mark.parametrize("depth", [JSON_LEVELS_MAX, 450, 900])
def test_nesting_beyond_the_limit_is_refused_before_python_gives_up(depth: int) -> None:
    assert "nested more than" in refusal(with_data("[" * depth + "]" * depth))


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    assert len(parse_event(with_data("[" + ",".join(["{}"] * 5_000) + "]")).data) == 5_000


@pytest.mark.parametrize("text", NAUGHTY)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_naughty_strings_are_kept_as_they_are(text: str, ascii_only: bool) -> None:
    message = json.dumps(ENVELOPE | {"data": {"text": text, text: 1}}, ensure_ascii=ascii_only).encode()
    assert parse_event(message).data == {"text": text, text: 1}


def test_a_backslash_before_u0000_is_text_not_a_nul() -> None:
    assert parse_event(with_data(r'"\\u0000 \u00e9"')).data == "\\u0000 é"


def understood(message: bytes) -> IncomingEvent | str:
    """The event, or the words of its refusal."""
    try:
        return parse_event(message)
    except MalformedError as error:
        return str(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(message: bytes) -> None:
    assert understood(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_json_as_data_is_understood_or_refused(data: Any) -> None:
    answer = understood(raw(data=data))
    assert len(answer.content_digest) == 64 if isinstance(answer, IncomingEvent) else "NUL" in answer


# Identity and content.


def test_identity_is_source_and_id() -> None:
    same = parse_event(raw(type="com.acme.other.v1", data={"a": 1}, time="2026-01-01T00:00:00Z"))
    assert same.identity == parse_event(raw()).identity
    assert parse_event(raw(id="e-2")).identity != same.identity
    assert parse_event(raw(source="/other")).identity != same.identity


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_two_different_pairs_never_meet(source: str, event_id: str, other_source: str, other_id: str) -> None:
    def identity(one: str, two: str) -> str:
        return IncomingEvent(one, two, "t", None, None, {}).identity

    assert (identity(source, event_id) == identity(other_source, other_id)) is ((source, event_id) == (other_source, other_id))


def test_a_pair_cut_elsewhere_is_another_identity() -> None:
    assert parse_event(raw(source="/a", id="b1")).identity != parse_event(raw(source="/ab", id="1")).identity


def test_what_transports_add_does_not_change_the_content() -> None:
    plain = parse_event(raw(data={"a": 1, "b": [1, 2]}))
    carried = parse_event(
        raw(
            data={"b": [1, 2], "a": 1},
            traceid="00-1",
            traceparent="00-2",
            topic="purchases",
            pubsubname="pubsub",
            expiration="2030-01-01T00:00:00Z",
            datacontenttype="application/json",
            time="2026-11-20T09:00:00Z",
        )
    )
    assert plain.content_digest == carried.content_digest


@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"a": 2}},
        {"data": {"a": "1"}},
        {"data": {"a": 1.5}},
        {"data": {"a": "1.5"}},
        {"data": {"a": 1, "b": None}},
        {"data": {"a": [1]}},
        {"data": None},
        {"type": "com.acme.other.v1"},
        {"subject": "s"},
    ],
)
def test_what_is_said_differently_has_another_digest(changed: dict[str, Any]) -> None:
    assert parse_event(raw(data={"a": 1})).content_digest != parse_event(raw(**({"data": {"a": 1}} | changed))).content_digest


def test_a_number_is_not_its_text() -> None:
    assert parse_event(with_data("1.5")).content_digest != parse_event(with_data('"1.5"')).content_digest


# CloudEvents out.


def test_what_we_write_we_can_read() -> None:
    at = datetime(2026, 11, 20, 10, 0, tzinfo=timezone(timedelta(hours=1)))
    written = format_event(
        event_id="i", source="/sayso", event_type="t.v1", data={"a": "é"}, time=at, subject="PO-1", traceparent="00-1"
    )
    event = parse_event(written)
    assert (event.id, event.source, event.type, event.subject, event.data) == ("i", "/sayso", "t.v1", "PO-1", {"a": "é"})
    assert event.attributes["time"] == "2026-11-20T09:00:00Z"
    assert event.attributes["traceparent"] == "00-1"


def test_the_same_event_is_written_in_the_same_bytes() -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    one = format_event(event_id="i", source="/s", event_type="t", data={"a": 1}, time=at)
    assert one == format_event(event_id="i", source="/s", event_type="t", data={"a": 1}, time=at)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1200", "1200.0"), ("1200", "1.2e3"), ("1200.50", "1200.5"), ("-0.0", "0"), ("-0", "0"), ("1e400", "10e399"), ("0.10", "1E-1")],
)
def test_equal_numbers_say_the_same_however_they_are_written(one: str, other: str) -> None:
    """Who writes JSON anew may write 1200 as 1200.0: a repetition, and no conflict."""
    assert parse_event(with_data(one)).content_digest == parse_event(with_data(other)).content_digest


@pytest.mark.parametrize(
    ("one", "other"), [("1200", "1200.01"), ("1", "-1.0"), ("1e300", "1e301"), ("0." + "1" * 40, "0." + "1" * 41)]
)
def test_other_numbers_say_something_else(one: str, other: str) -> None:
    assert parse_event(with_data(one)).content_digest != parse_event(with_data(other)).content_digest


def test_a_number_of_any_length_has_a_digest() -> None:
    assert len(parse_event(with_data("7" * 10_000 + ".0")).content_digest) == 64
