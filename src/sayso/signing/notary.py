"""The notary: a verdict that needs a signature stands only if the signature holds.

In: correlation's verdict, and when the event arrived. Out: the same verdict, with the verified sender beside the decision; or
`Rejected` with a reason that says what to change. Called before the identity is claimed, so that a forger cannot burn an id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sayso.contracts.catalog import CHANGE_EVENT, DECISION_EVENTS, WITHDRAW_EVENT
from sayso.contracts.cloudevent import IncomingEvent
from sayso.contracts.signed import SIGNED, Signed, json_hash, request_hash
from sayso.correlation.verdict import Record, Rejected, Resume, Start, Unmatched, Verdict
from sayso.errors import MalformedError
from sayso.settings import Settings, SigningSettings
from sayso.signing.claims import Claims, read_claims
from sayso.signing.senders import FILE_NAME, LiveSenders, SenderRule, Senders
from sayso.signing.tokens import verified

ATTRIBUTE = "signature"
"""The extension attribute of the CloudEvent. A text, so that it passes every system that passes CloudEvents on."""
NAMES_THE_CASE = frozenset({"order_id", "request_id", "task_id", "workflow", "key"})
"""Fields of a decision that are not decided: the claim `case` has them."""
Vouch = Callable[[Verdict, datetime], Verdict]
"""Verdict, time of arrival → the verdict that counts."""


class HasSenders(Protocol):
    """Where the senders are."""

    def current(self) -> Senders:
        """As they are now."""


class Notary:
    """Judges signatures by the senders of now and the settings of this installation."""

    def __init__(self, senders: HasSenders, settings: SigningSettings) -> None:
        self._senders = senders
        self._settings = settings

    def vouch(self, verdict: Verdict, received_at: datetime) -> Verdict:
        """See the module. What needs no signature passes as it is."""
        if isinstance(verdict, Rejected | Unmatched) or verdict.treatment.signed_on is None:
            return verdict
        try:
            return self._vouched(verdict, verdict.treatment.signed_on, received_at)
        except MalformedError as error:
            return Rejected(str(error), verdict.event, verdict.binding)

    def _vouched(self, verdict: Record | Start | Resume, topic: str, received_at: datetime) -> Verdict:
        event = verdict.event
        token = event.attributes.get(ATTRIBUTE)
        if not isinstance(token, str):
            raise MalformedError(
                f"it is not signed, and {verdict.binding} takes only what is: its attribute `{ATTRIBUTE}` must hold the JWS of a "
                "sender of senders.yaml (docs/signing.md; here: sayso publish --sign SENDER)"
            )
        senders = self._senders.current()
        key, payload = verified(token, senders.keys)
        claims = read_claims(payload)
        rule = senders.rules[key.sender]
        _same("iss", claims.iss, key.sender, f'the sender of the key "{key.id}"')
        _same("aud", claims.aud, self._settings.audience, "this installation (setting signing.audience)")
        _check_event(claims, event)
        _check_rights(rule, key.sender, event, topic)
        self._check_times(claims, received_at)
        _check_case(claims, verdict)
        if isinstance(verdict, Resume) and verdict.event_name in DECISION_EVENTS:
            payload_of_now = _decided(claims, verdict, rule, key.sender)
            signed = Signed(
                sender=key.sender,
                key=key.id,
                request_hash=_hash_of(claims),
                instance=claims.case.instance if claims.case else None,
                stage=claims.stage,
            )
            return replace(verdict, payload=payload_of_now | {SIGNED: signed.model_dump(exclude_none=True)})
        _check_data(claims, event)
        if isinstance(verdict, Resume) and verdict.event_name in (WITHDRAW_EVENT, CHANGE_EVENT):
            _check_person(rule, key.sender, verdict.payload.get("requester") or verdict.payload["by"])
        return verdict

    def _check_times(self, claims: Claims, received_at: datetime) -> None:
        skew = self._settings.clock_skew.total_seconds()
        arrived = received_at.timestamp()
        if claims.iat > arrived + skew:
            raise MalformedError(f"it was signed at {_time(claims.iat)}, after it came at {_time(arrived)}: set the sender's clock")
        if claims.exp <= claims.iat or claims.exp - claims.iat > self._settings.lifetime_max.total_seconds():
            raise MalformedError(
                f"`exp` must be after `iat`, by at most {self._settings.lifetime_max} (setting signing.lifetime_max): "
                f"{_time(claims.iat)} to {_time(claims.exp)}"
            )
        if arrived > claims.exp + skew:
            raise MalformedError(f"its signature was good until {_time(claims.exp)}, and it came at {_time(arrived)}: decide anew")


def notary_of(settings: Settings) -> Notary:
    """The notary of this installation. It reads `senders.yaml` only for what needs a signature."""
    return Notary(LiveSenders(settings.config_dir / FILE_NAME, settings.state_dir), settings.signing)


def unchecked(verdict: Verdict, received_at: datetime) -> Verdict:
    """For who has nobody to keep out: simulations and measurements of what is behind the notary."""
    del received_at
    return verdict


def decision_of(payload: dict[str, Any]) -> dict[str, Any]:
    """What the claim `decision` says of such a payload."""
    return {name: value for name, value in payload.items() if value is not None and name not in NAMES_THE_CASE}


def _same(name: str, said: object, meant: object, what: str) -> None:
    if said != meant:
        raise MalformedError(f'`{name}` of the signature is "{_short(said)}", and {what} is "{_short(meant)}"')


def _check_event(claims: Claims, event: IncomingEvent) -> None:
    """The claims are of this event: a signature cannot be carried over to another one."""
    for name, said, meant in (
        ("jti", claims.jti, event.id),
        ("source", claims.source, event.source),
        ("type", claims.type, event.type),
    ):
        _same(name, said, meant, "that of the event")


def _check_rights(rule: SenderRule, sender: str, event: IncomingEvent, topic: str) -> None:
    if event.type not in rule.types:
        raise MalformedError(f"{sender} may not sign {event.type}: add it to its `types` in senders.yaml, if it should")
    if topic not in rule.topics:
        raise MalformedError(f"{sender} may not send on {topic}: add it to its `topics` in senders.yaml, if it should")


def _check_case(claims: Claims, verdict: Record | Start | Resume) -> None:
    if isinstance(verdict, Record):
        return
    case = claims.case
    if case is None:
        raise MalformedError("the signature names no case: add `case` with `workflow` and `key`, or `instance`")
    if case.workflow is not None:
        _same("case.workflow", case.workflow, verdict.workflow, "that of the event")
    if case.key is not None:
        _same("case.key", case.key, verdict.key, "that of the event")
    decides = isinstance(verdict, Resume) and verdict.event_name in DECISION_EVENTS
    if not decides and (case.workflow is None or case.key is None):
        raise MalformedError("only a decision may name its case by `instance` alone: add `workflow` and `key` to `case`")


def _decided(claims: Claims, verdict: Resume, rule: SenderRule, sender: str) -> dict[str, Any]:
    """The payload, as the claims say it too, with its approver: the one that is named, or whoever the sender is."""
    if claims.decision is None:
        raise MalformedError("the signature decides nothing: add `decision` with `approved`, `approver` and `reason` of the event")
    said, meant = decision_of(claims.decision), decision_of(verdict.payload)
    for name in sorted(said.keys() | meant.keys()):
        if not _equal(said.get(name), meant.get(name)):
            raise MalformedError(f"`{_short(name)}` of the event is not what was signed: sign again after every change")
    if verdict.request is not None and request_hash(verdict.request) != _hash_of(claims):
        raise MalformedError("`request_hash` of the signature is not that of the request in the event")
    approver = verdict.payload.get("approver") or rule.person
    if approver is None:
        raise MalformedError(f"it names no approver, and {sender} stands for none: add `approver`, or `person` in senders.yaml")
    _check_person(rule, sender, approver)
    return verdict.payload | {"approver": approver}


def _check_person(rule: SenderRule, sender: str, person: str) -> None:
    if not rule.may_speak_for(person):
        raise MalformedError(f"{sender} may not speak for {_short(person)}: `speaks_for` in senders.yaml says for whom it may")


def _equal(one: object, other: object) -> bool:
    """Equal and of the same kind: to Python, true is 1."""
    return type(one) is type(other) and one == other


def _hash_of(claims: Claims) -> str:
    if claims.request_hash is None:
        raise MalformedError("the signature does not say what was decided about: add `request_hash` of sayso.approval.requested.v1")
    return claims.request_hash


def _check_data(claims: Claims, event: IncomingEvent) -> None:
    if claims.data_hash is None:
        raise MalformedError("the signature does not cover `data`: add `data_hash`, the SHA-256 of its RFC 8785 JSON, in hex")
    if claims.data_hash != json_hash(event.data):
        raise MalformedError("`data` of the event is not what was signed: sign again after every change")


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
