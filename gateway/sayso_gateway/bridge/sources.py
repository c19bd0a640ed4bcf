"""Sources, ready to work: webhooks.yaml with its secrets read and its expressions compiled.

In: the configuration folder, the topics and types that exist. Out: `Source`s by name. What is wrong stops the start, with file, line.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass

from sayso.config_file import ConfigFile, Location, did_you_mean
from sayso.correlation.bindings import Bindings
from sayso.correlation.expressions import Expression
from sayso.settings import Settings
from sayso.webhook_sources import WebhookEvent, WebhookSource, make_local_secrets, read_webhooks
from sayso_gateway.bridge.signatures import SCHEMES, Verifier, any_hmac

VARIABLES = ("body", "headers")
STANDARD_SECRET_BYTES = range(24, 65)


@dataclass(frozen=True)
class Rule:
    """One kind of message, compiled. `data` is one expression, or one a field."""

    type: str
    topic: str
    when: Expression | None
    key: Expression
    data: Expression | dict[str, Expression]


@dataclass(frozen=True)
class Source:
    """One sender."""

    name: str
    scheme: str
    verify: Verifier
    event_source: str
    event_id: Expression | None
    rules: tuple[Rule, ...]
    allowed_origins: tuple[str, ...]
    a_second: int


def load_sources(settings: Settings, bindings: Bindings) -> dict[str, Source]:
    """Every source of webhooks.yaml; none without that file."""
    found = read_webhooks(settings.config_dir)
    if found is None:
        return {}
    written, file = found
    make_local_secrets(written, settings.state_dir)
    return {name: _source(name, each, file, settings, bindings) for name, each in written.webhooks.items()}


def _source(name: str, written: WebhookSource, file: ConfigFile, settings: Settings, bindings: Bindings) -> Source:
    at: Location = ("webhooks", name)
    secrets = [reference.read(file, (*at, "secrets", index), settings.state_dir) for index, reference in enumerate(written.secrets)]
    _check_secrets(written.scheme, secrets, file, at)
    rules = tuple(_rule(each, written.topic, file, (*at, "events", index), bindings) for index, each in enumerate(written.events))
    _refuse_unreachable(rules, file, at)
    return Source(
        name=name,
        scheme=written.scheme,
        verify=any_hmac(secrets, written.hmac) if written.scheme == "hmac" else SCHEMES[written.scheme](secrets),
        event_source=written.source or f"/webhooks/{name}",
        event_id=_compiled(written.id, file, (*at, "id")) if written.id is not None else None,
        rules=rules,
        allowed_origins=written.allowed_origins,
        a_second=written.a_second,
    )


def _check_secrets(scheme: str, secrets: list[str], file: ConfigFile, at: Location) -> None:
    for index, secret in enumerate(secrets):
        place = (*at, "secrets", index)
        if scheme == "basic" and not all(secret.partition(":")[::2]):
            raise file.error(place, "a secret of the scheme basic is USER:PASSWORD, both of them")
        if scheme == "standard-webhooks" and _standard_bytes(secret) not in STANDARD_SECRET_BYTES:
            raise file.error(place, "a secret of standard-webhooks is whsec_ and 24 to 64 bytes in base64")


def _standard_bytes(secret: str) -> int:
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_") + "==", validate=False))
    except binascii.Error:
        return 0


def _rule(written: WebhookEvent, topic: str, file: ConfigFile, at: Location, bindings: Bindings) -> Rule:
    chosen = written.topic or topic
    if chosen not in bindings.topics:
        raise file.error((*at, "topic"), f'no binding reads the topic "{chosen}"{did_you_mean(chosen, bindings.topics)}')
    _check_type(written.type, chosen, bindings.types_on(chosen), file, (*at, "type"))
    when = _compiled(written.when, file, (*at, "when")) if written.when is not None else None
    if when is not None and not when.returns_boolean():
        raise file.error((*at, "when"), f"`{written.when}` is not a condition: it must be true or false")
    key = _compiled(written.key, file, (*at, "key"))
    if not key.returns_key():
        raise file.error((*at, "key"), f"`{written.key}` is not a key: it must be text or a whole number")
    if isinstance(written.data, str):
        data: Expression | dict[str, Expression] = _compiled(written.data, file, (*at, "data"))
    else:
        data = {name: _compiled(text, file, (*at, "data", name)) for name, text in written.data.items()}
    return Rule(written.type, chosen, when, key, data)


def _check_type(event_type: str, topic: str, known: Collection[str], file: ConfigFile, at: Location) -> None:
    if event_type not in known:
        raise file.error(at, f'no binding takes "{event_type}" on {topic}{did_you_mean(event_type, known)}')


def _refuse_unreachable(rules: tuple[Rule, ...], file: ConfigFile, at: Location) -> None:
    """After a rule without a `when` no other one is ever asked."""
    for index, rule in enumerate(rules[:-1]):
        if rule.when is None:
            raise file.error((*at, "events", index), "it takes everything, so that those behind it get nothing: give it a `when`")


def _compiled(text: str, file: ConfigFile, at: Location) -> Expression:
    try:
        return Expression(text, VARIABLES)
    except ValueError as error:
        raise file.error(at, f"`{text}`: {error}") from error
