"""The AsyncAPI 3.0 document: topics as channels, CloudEvents as messages, bindings as operations.

In: the catalog and the bindings. Out: one plain document, in the order of those tables. Plain dictionaries are shorter than a
library's models, and a test holds them against AsyncAPI's own schema, which no model library does for extensions.
"""

from __future__ import annotations

from typing import Any

from sayso.contracts.catalog import EVENT_TYPES
from sayso.contracts.cloudevent import CONTENT_TYPE
from sayso.contracts.dead_letter import DEAD
from sayso.correlation.bindings import Binding, Bindings
from sayso.schemas.payloads import meaning_of

OWN_TYPE = "An event type of bindings.yaml that Sayso has no contract for: its data may be anything."


def asyncapi_document(bindings: Bindings) -> dict[str, Any]:
    """The whole document."""
    types = types_by_topic(bindings)
    received = {name: _receive(rule) for rule in bindings.rules for name in [rule.name]}
    sent = {f"send-{name}": _send(name) for name, kind in EVENT_TYPES.items() if kind.direction == "out"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sayso",
            "version": "1.0.0",
            "description": "The events that Sayso reads and publishes. Every message is a CloudEvent 1.0 in structured mode; its "
            "identity is `source` + `id`. Operations are the bindings of config/bindings.yaml and what Sayso itself sends. "
            "The topics are those of the Dapr pub/sub component: a Redis stream (field `data`) or a Kafka topic.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic: _channel(topic, names) for topic, names in types.items()},
        "operations": received | sent,
        "components": {"messages": {name: _message(name) for names in types.values() for name in names}},
    }


def types_by_topic(bindings: Bindings) -> dict[str, list[str]]:
    """Every topic with the event types on it: first what is bound, then what Sayso sends."""
    pairs = [(rule.topic, rule.type) for rule in bindings.rules]
    pairs += [(kind.topic, name) for name, kind in EVENT_TYPES.items() if kind.direction == "out"]
    types: dict[str, list[str]] = {}
    for topic, name in dict.fromkeys(pairs):
        types.setdefault(topic, []).append(name)
    return types


def _channel(topic: str, names: list[str]) -> dict[str, Any]:
    return {"address": topic, "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names}}


def _message(name: str) -> dict[str, Any]:
    known = name in EVENT_TYPES
    return {
        "name": name,
        "summary": meaning_of(name) if known else OWN_TYPE,
        "contentType": CONTENT_TYPE,
        "payload": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", *(["data"] if known and name != DEAD else [])],
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "minLength": 1, "description": "Unique within `source`; a resend keeps it."},
                "source": {"type": "string", "minLength": 1},
                "type": {"const": name},
                "time": {"type": "string", "format": "date-time"},
                "subject": {"type": "string"},
                "datacontenttype": {"type": "string", "default": "application/json"},
                "data": {"$ref": f"./schemas/{name}.json"} if known else {},
            },
            "additionalProperties": True,
        },
    }


def _receive(rule: Binding) -> dict[str, Any]:
    expressions = {"when": rule.when, "key": rule.key}
    return {
        "action": "receive",
        "title": rule.name,
        "summary": rule.does,
        **_place(rule.topic, rule.type),
        "x-sayso-binding": {"does": rule.does, **{name: cel.text for name, cel in expressions.items() if cel is not None}},
    }


def _send(name: str) -> dict[str, Any]:
    return {"action": "send", "summary": meaning_of(name), **_place(EVENT_TYPES[name].topic, name)}


def _place(topic: str, name: str) -> dict[str, Any]:
    return {"channel": {"$ref": f"#/channels/{topic}"}, "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"}]}
