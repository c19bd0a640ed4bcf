"""Correlate: one event and its topic → the one binding, the case it means, the payload that its workflow understands.

In: the topic and the original bytes. Out: a `Verdict`. Pure: no clock, no database; `explain` and the router both call it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from sayso.config_file import did_you_mean
from sayso.contracts.catalog import EVENT_TYPES, WORKFLOWS, WorkflowContract
from sayso.contracts.cloudevent import IncomingEvent, parse_event
from sayso.contracts.payload import Payload, explain
from sayso.correlation.bindings import DAPR_DEAD_LETTERS, STARTS, Action, Binding, Bindings
from sayso.correlation.expressions import Expression, key_of, view_of
from sayso.correlation.verdict import Record, Rejected, Resume, Start, Unmatched, Verdict
from sayso.errors import MalformedError

EVENT_BYTES_MAX = 1024 * 1024
"""Above the claim check's limit its large texts stay in the ledger (`sayso.contracts.claim`); above this one it is refused."""


def correlate(bindings: Bindings, topic: str, original: bytes) -> Verdict:
    """Say what this message is to us; never raises for what a sender sent."""
    event: IncomingEvent | None = None
    binding: Binding | None = None
    try:
        event = parse_event(original)
        if topic == DAPR_DEAD_LETTERS:
            topic = bindings.home_of(event.type) or topic
        matching = bindings.match(topic, event)
        if len(matching) != 1:
            return Unmatched(_why_unmatched(bindings, topic, event, matching), event)
        binding = matching[0]
        _check_size(binding, original)
        return _apply(binding, event)
    except MalformedError as error:
        return Rejected(str(error), event, binding.name if binding else None)


def _check_size(binding: Binding, original: bytes) -> None:
    if binding.action is not Action.RECORD and len(original) > EVENT_BYTES_MAX:
        raise MalformedError(
            f"the event has {len(original)} bytes; at most {EVENT_BYTES_MAX} can start or wake a case: send what is large by reference"
        )


def _apply(binding: Binding, event: IncomingEvent) -> Verdict:
    if binding.action is Action.RECORD or binding.key is None:
        return Record(binding.name, event, binding.treatment)
    view = view_of(event)
    key = key_of(binding.key.evaluate(view))
    contract = WORKFLOWS[binding.workflow]
    request = _request(binding, contract, event, view) if binding.action in STARTS else None
    if binding.action is Action.START and request is not None:
        return Start(binding.name, event, binding.workflow, key, request, binding.treatment)
    model = contract.events[binding.event_name]
    _check_own_contract(event, model)
    payload = _validated(model, _with_change(binding, _mapped(binding.payload, event, view)), event)
    return Resume(binding.name, event, binding.workflow, key, binding.event_name, payload, binding.treatment, request)


def _request(binding: Binding, contract: WorkflowContract, event: IncomingEvent, view: dict[str, Any]) -> dict[str, Any]:
    return _validated(contract.request, _mapped(binding.input, event, view), event)


def _with_change(binding: Binding, data: Any) -> Any:
    """What the binding's verb says, and the data do not: they could say what only an operator may."""
    return {**data, "change": binding.change} if binding.change is not None and isinstance(data, dict) else data


def _mapped(mapping: dict[str, Expression] | None, event: IncomingEvent, view: dict[str, Any]) -> Any:
    """The event's data, or what the binding makes of the event."""
    if mapping is None:
        return event.data
    return {name: _exact(expression.evaluate(view)) for name, expression in mapping.items()}


def _check_own_contract(event: IncomingEvent, model: type[Payload]) -> None:
    """A shipped type is held to its own contract even where the workflow would read less of it."""
    known = EVENT_TYPES.get(event.type)
    if known is not None and known.model is not model:
        _validated(known.model, event.data, event)


def _validated(model: type[Payload], data: Any, event: IncomingEvent) -> dict[str, Any]:
    if not isinstance(data, dict):
        kind = "missing" if data is None else f"a {type(data).__name__}"
        raise MalformedError(f"`data` of {event.type} must be a JSON object, it is {kind}")
    try:
        return model.model_validate(data).model_dump(mode="json")
    except ValidationError as error:
        raise MalformedError(f"`data` of {event.type}: {explain(error)}") from error


def _exact(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def _why_unmatched(bindings: Bindings, topic: str, event: IncomingEvent, matching: list[Binding]) -> str:
    if matching:
        names = ", ".join(binding.name for binding in matching)
        return f"{len(matching)} bindings take it ({names}); exactly one may: make their `when` exclude each other"
    types = bindings.types_on(topic)
    if event.type in types:
        return f"no `when` of the bindings for {event.type} on {topic} is true for it"
    elsewhere = sorted({rule.topic for rule in bindings.rules if rule.type == event.type})
    hint = f"; one takes it on {', '.join(elsewhere)}" if elsewhere else did_you_mean(event.type, types)
    return f'no binding for type "{event.type}" on topic "{topic}"{hint}'
