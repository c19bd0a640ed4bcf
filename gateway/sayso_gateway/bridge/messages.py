"""What a verified webhook says: its body read, its rule found, its event made.

In: the request, verified. Out: the one CloudEvent to publish, or None for a kind of message that no rule takes; `MalformedError` for
what cannot be understood. The same message gives the same event id, so that a resend is only another sighting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from sayso.contracts.cloudevent import parse_event, read_json
from sayso.correlation.expressions import Expression, in_cel_types, key_of
from sayso.errors import MalformedError
from sayso_gateway.bridge.signatures import Received
from sayso_gateway.bridge.sources import Rule, Source
from sayso_gateway.outgoing import Outgoing, written_event

FIELDS_MAX = 1_000
FORM = "application/x-www-form-urlencoded"


def event_of(source: Source, received: Received, document: dict[str, Any]) -> Outgoing | None:
    """The event that this message becomes."""
    views = {"body": in_cel_types(document), "headers": dict(received.headers)}
    rule = next((rule for rule in source.rules if rule.when is None or rule.when.evaluate_on(views) is True), None)
    if rule is None:
        return None
    event_id = _event_id(source, received, document, views)
    key = key_of(rule.key.evaluate_on(views))
    body = written_event(event_id, source.event_source, rule.type, _data(rule, document, views), received.at)
    parse_event(body)  # what the ledger would reject is told to the sender
    return Outgoing(rule.topic, key, event_id, source.event_source, rule.type, body)


def document_of(received: Received) -> dict[str, Any]:
    """The body as a JSON object. A form becomes one too; its field `payload`, as Slack and GitHub send it, is the object itself."""
    kind = received.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM and not received.body.lstrip().startswith(b"{"):  # `curl -d` calls everything a form
        document: Any = _form(received.body)
    else:
        document = read_json(received.body)
    if not isinstance(document, dict):
        raise MalformedError("the body must be a JSON object")
    return document


def _form(body: bytes) -> Any:
    try:
        fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise MalformedError(f"the form cannot be read: {error}") from error
    return read_json(fields["payload"].encode()) if "payload" in fields else fields


def _event_id(source: Source, received: Received, document: dict[str, Any], views: dict[str, Any]) -> str:
    given = source.event_id.evaluate_on(views) if source.event_id is not None else PROVIDERS_ID[source.scheme](received, document)
    if not isinstance(given, str | int) or isinstance(given, bool) or not str(given).strip():
        raise MalformedError("the message has no id: `id` in webhooks.yaml says where it is")
    return str(given)


def _by_content(received: Received, document: dict[str, Any]) -> str:
    del document
    return hashlib.sha256(received.body).hexdigest()


PROVIDERS_ID: Mapping[str, Callable[[Received, dict[str, Any]], Any]] = MappingProxyType(
    {
        "standard-webhooks": lambda received, _: received.headers["webhook-id"],
        "stripe": lambda _, document: document.get("id"),
        "github": lambda received, _: received.headers.get("x-github-delivery"),
        "slack": lambda received, document: document.get("event_id") or document.get("trigger_id") or _by_content(received, document),
        "hmac": _by_content,
        "basic": _by_content,
        "bearer": _by_content,
    }
)
"""Where each provider's id of an event is; else the same bytes are the same event."""


def _data(rule: Rule, document: dict[str, Any], views: dict[str, Any]) -> Any:
    if isinstance(rule.data, Expression):
        return _value(rule.data, document, views)
    return {name: _value(expression, document, views) for name, expression in rule.data.items()}


def _value(expression: Expression, document: dict[str, Any], views: dict[str, Any]) -> Any:
    """A plain path is taken from the document itself, so that numbers stay exact: CEL has doubles."""
    names = expression.text.split(".")
    if names[0] != "body" or not all(name.isidentifier() for name in names):
        return expression.evaluate_on(views)
    value: Any = document
    for name in names[1:]:
        if not isinstance(value, dict) or name not in value:
            raise MalformedError(f'`{expression.text}`: the message has no "{name}"')
        value = value[name]
    return value
