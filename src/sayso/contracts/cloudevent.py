"""CloudEvents 1.0 in and out.

In: the original bytes of a message. Out: an `IncomingEvent`, or a `MalformedError` whose text a person understands.
The envelope that Dapr puts around a raw message has a random id and is never looked at. Identity is `source` + `id`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from cloudevents.exceptions import GenericException
from cloudevents.pydantic.v2 import CloudEvent
from pydantic import ValidationError

from sayso.contracts.payload import explain
from sayso.errors import MalformedError

ATTRIBUTE_CHARACTERS_MAX = 2_000
JSON_LEVELS_MAX = 100
"""Python's own limit depends on how deep the caller already is, so there is a limit of ours, well below it."""
WHOLE_DIGITS_MAX = 300
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
CONTEXT_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype")
CONTENT_TYPE = "application/cloudevents+json"
SPEC_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """One CloudEvent, parsed. `data` holds exact numbers (int, Decimal)."""

    source: str
    id: str
    type: str
    subject: str | None
    data: Any
    attributes: dict[str, Any]

    @property
    def identity(self) -> str:
        """SHA-256 of source and id; the length prefix keeps two different pairs from meeting."""
        return hashlib.sha256(f"{len(self.source)}:{self.source}{self.id}".encode()).hexdigest()

    @property
    def content_digest(self) -> str:
        """SHA-256 of what the event says (type, subject, data), whatever a transport added around it.

        1200, 1200.0 and 1.2e3 say the same: who writes JSON anew may write its numbers otherwise.
        """
        said = json.dumps([self.type, self.subject, self.data], sort_keys=True, default=_one_way, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


def _one_way(number: Decimal) -> int | list[Any]:
    """One form of all that are equal, exactly; a whole number that is not too long as JSON's own."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # NaN and infinities are no JSON
    text = "".join(map(str, digits))
    shortest = text.rstrip("0")
    exponent += len(text) - len(shortest)
    shortest = shortest.lstrip("0")
    if not shortest:
        return 0
    if exponent >= 0 and len(shortest) + exponent <= WHOLE_DIGITS_MAX:
        return int(f"{'-' if sign else ''}{shortest}{'0' * exponent}")
    return [sign, shortest, exponent]


def parse_event(raw: bytes) -> IncomingEvent:
    """Read one structured-mode CloudEvent from its original bytes, or raise `MalformedError`."""
    document = _json_object(raw)
    attributes = {name: value for name, value in document.items() if name not in ("data", "data_base64")}
    for name in ("specversion", "id", "source", "type"):
        _check_attribute(attributes, name)
    if attributes["specversion"] != SPEC_VERSION:
        raise MalformedError(f'`specversion` is "{attributes["specversion"]}"; Sayso reads CloudEvents "{SPEC_VERSION}"')
    if not isinstance(attributes.get("traceparent", ""), str):
        attributes.pop("traceparent")  # others' tracing must never cost an event
    data = _decoded_again(_data_of(document))
    try:  # extension attributes are kept as they are: their names may be anything, also `self`
        event = CloudEvent(**{name: attributes[name] for name in CONTEXT_ATTRIBUTES if name in attributes}, data=None)
    except ValidationError as error:
        raise MalformedError(f"not a valid CloudEvent: {explain(error)}") from error
    except (GenericException, TypeError, ValueError) as error:
        raise MalformedError(f"not a valid CloudEvent: {_first_line(error)}") from error
    return IncomingEvent(event.source, event.id, event.type, event.subject, data, attributes)


def read_json(raw: bytes) -> Any:
    """JSON of another system: exact numbers, no name twice, only what can be stored; or a `MalformedError`."""
    return _json_value(raw)


def _json_object(raw: bytes) -> dict[str, Any]:
    document = _json_value(raw)
    if not isinstance(document, dict):
        raise MalformedError(f"a CloudEvent is a JSON object, this is a JSON {_json_kind(document)}")
    return document


def _json_value(raw: bytes) -> Any:
    if not raw.strip():
        raise MalformedError("the message is empty")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from error
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique_names)
        _check_depth(text, document)
        if "\\u" in text:
            _check_storable(document)
    except json.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise MalformedError(f"JSON nested more than {JSON_LEVELS_MAX} levels deep") from error
    except UnicodeEncodeError as error:
        raise MalformedError("text with an unpaired UTF-16 surrogate") from error
    except ArithmeticError as error:
        raise MalformedError("a number's exponent is out of every range") from error
    except ValueError as error:
        if "integer string conversion" in str(error):  # Python's own limit, in words that are not about Python
            raise MalformedError("a whole number has more than 4300 digits") from error
        raise MalformedError(f"not usable JSON: {_first_line(error)}") from error
    return document


def _check_depth(text: str, document: object) -> None:
    """Whatever reads the document after this may recurse. Few brackets cannot be deep, so most texts are only counted."""
    if text.count("{") + text.count("[") <= JSON_LEVELS_MAX:
        return
    level: list[Any] = [[document]]
    for _ in range(JSON_LEVELS_MAX + 1):
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [node for node in level if isinstance(node, dict | list)]
        if not level:
            return
    raise RecursionError


def _check_storable(document: object) -> None:
    """Neither an unpaired surrogate nor U+0000 can be stored in PostgreSQL; escapes can smuggle them in."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    text.encode("utf-8")
    if NUL_ESCAPE.search(text):
        raise ValueError("text with a NUL character (U+0000)")


def _check_attribute(attributes: dict[str, Any], name: str) -> None:
    value = attributes.get(name)
    if value is None:
        raise MalformedError(f"no `{name}`: a CloudEvent needs `specversion`, `id`, `source` and `type`")
    if not isinstance(value, str) or not value.strip():
        raise MalformedError(f"`{name}` must be a non-empty text")
    if len(value) > ATTRIBUTE_CHARACTERS_MAX:
        raise MalformedError(f"`{name}` has {len(value)} characters; at most {ATTRIBUTE_CHARACTERS_MAX}")
    if CONTROL_CHARACTER.search(value):
        raise MalformedError(f"`{name}` contains a control character, which CloudEvents forbids")


def _data_of(document: dict[str, Any]) -> Any:
    if document.get("data_base64") is None:
        return document.get("data")
    if document.get("data") is not None:
        raise MalformedError("both `data` and `data_base64` are set")
    try:
        decoded = base64.b64decode(document["data_base64"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise MalformedError("`data_base64` is not base64") from error
    content_type = str(document.get("datacontenttype", "application/json")).partition(";")[0].strip().lower()
    if content_type == "application/json" or content_type.endswith("+json"):
        return _json_value(decoded)
    return decoded.decode("utf-8", errors="replace")


def _decoded_again(data: Any) -> Any:
    """Some clients encode an object twice: a text that holds a JSON object is read as that object (docs/seeds.md, 004)."""
    if not isinstance(data, str) or not data.lstrip().startswith("{"):
        return data
    try:
        return _json_value(data.encode())
    except (MalformedError, UnicodeEncodeError):
        return data


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {repeated!r} appears twice in one object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _json_kind(document: object) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(document), "number")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


def format_event(
    *,
    event_id: str,
    source: str,
    event_type: str,
    data: Any,
    time: datetime,
    subject: str | None = None,
    **extensions: str,
) -> bytes:
    """Write a structured-mode CloudEvent; `data` is JSON-ready. The same arguments give the same bytes."""
    document: dict[str, Any] = {
        "specversion": SPEC_VERSION,
        "id": event_id,
        "source": source,
        "type": event_type,
        "time": in_utc(time),
        "datacontenttype": "application/json",
    }
    if subject is not None:
        document["subject"] = subject
    return json.dumps(document | extensions | {"data": data}, separators=(",", ":")).encode()


def in_utc(time: datetime) -> str:
    """A time as CloudEvents writes it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
