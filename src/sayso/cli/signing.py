"""Signing on the command line: which key signs, and what a decision is about.

In: the stack, an event that correlation understood. Out: the event with its signature. A decision is about the open case, or about a
request that is at hand: in the same file, or in the file that `--about` names. Otherwise it is about the last case of its key,
for which it comes too late.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sayso.cli.event_files import read_input, split_events
from sayso.cli.output import printable, say
from sayso.contracts.catalog import DECISION_EVENTS
from sayso.contracts.cloudevent import parse_event
from sayso.contracts.signed import request_hash
from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume, Start, Unmatched, Verdict
from sayso.errors import ConfigurationError
from sayso.ledger.queries.cases import find_cases
from sayso.ledger.queries.views import CaseView
from sayso.signing.pen import About, Pen, with_signature
from sayso.signing.senders import FILE_NAME, Senders
from sayso.signing.startup import check_senders
from sayso.stack_address import StackAddress

Requests = dict[tuple[str, str], str]
"""(workflow, key) → hash of the request."""


@dataclass(frozen=True)
class Desk:
    """Everything that signing takes."""

    stack: StackAddress
    bindings: Bindings
    senders: Senders

    def pen(self, sender: str | None, event_type: str) -> Pen:
        """The pen of this sender; without a name, of the one that can sign this type here."""
        return Pen(self.senders.pen_of(sender or self._only_sender(event_type)), self.stack.settings.signing.audience)

    def _only_sender(self, event_type: str) -> str:
        able = {
            key.sender for key in self.senders.keys.values() if key.can_sign and event_type in self.senders.rules[key.sender].types
        } - {self.stack.settings.gateway.sender}  # that key is for who is logged in there
        if len(able) == 1:
            return able.pop()
        if able:
            raise ConfigurationError(f"several senders can sign here: say which: --sign {'|'.join(sorted(able))}")
        raise ConfigurationError(
            f"{event_type} has to be signed, and no sender of {FILE_NAME} has a key here that may: make one (sayso keys new), "
            "or let the sender publish it"
        )


def desk_of(stack: StackAddress, bindings: Bindings) -> Desk:
    """The senders of the configuration folder, with the keys that are here."""
    return Desk(stack, bindings, check_senders(bindings, stack.settings, may_create=False))


def signed(pen: Pen, body: bytes, verdict: Verdict, about: About | None) -> bytes:
    """The event with its signature; `ConfigurationError` for one that no signature helps."""
    if isinstance(verdict, Rejected | Unmatched):
        raise ConfigurationError(f"it is not signed, because it would be refused anyway: {verdict.reason}")
    if about is None and is_decision(verdict):
        raise ConfigurationError(
            "there is no such case yet; to sign before it comes, say what is decided about: --about FILE of its request"
        )
    return with_signature(body, pen.sign(verdict, datetime.now(UTC), about))


def is_decision(verdict: Verdict) -> bool:
    """Whether it decides something about a case."""
    return isinstance(verdict, Resume) and verdict.event_name in DECISION_EVENTS


def about_case(case: CaseView) -> About:
    """An open case, and its request as it is asked."""
    return About(request_hash(case.request), case.instance_id)


def about_event(stack: StackAddress, verdict: Verdict, requests: Requests) -> About | None:
    """What this decision is about: the open case of its key, the request of it that is at hand, or its last case."""
    if not isinstance(verdict, Resume):
        return None
    case = _last_case(stack, verdict)
    at_hand = requests.get((verdict.workflow, verdict.key))
    if at_hand is not None and (case is None or case.phase == "closed"):
        return About(at_hand)
    return about_case(case) if case is not None else None


def sign_where_needed(stack: StackAddress, topic: str, body: bytes, case: CaseView) -> bytes:
    """A decision about this case as its sender publishes it: signed, if the binding wants it."""
    bindings = stack.bindings()
    verdict = correlate(bindings, topic, body)
    if not isinstance(verdict, Resume) or verdict.treatment.signed_on is None:
        return body
    return signed(desk_of(stack, bindings).pen(None, verdict.event.type), body, verdict, about_case(case))


def requests_in(verdicts: Iterable[Verdict]) -> Requests:
    """The requests that these events make."""
    return {(found.workflow, found.key): request_hash(found.request) for found in verdicts if isinstance(found, Start)}


def requests_of_file(file: str | None, bindings: Bindings) -> Requests:
    """The requests of an event file."""
    if file is None:
        return {}
    bodies = [text.encode() for text in split_events(read_input(file), file)]
    found = requests_in(correlate(bindings, topic, body) for body in bodies for topic in _topics_of(body, bindings))
    if not found:
        raise ConfigurationError(f"{file}: no request in it that opens a case")
    return found


def looked_at(stack: StackAddress, verdict: Verdict) -> Verdict:
    """The verdict that counts. Where the senders' keys are not, as away from the stack, signatures are not looked at."""
    try:
        return stack.notary().vouch(verdict, datetime.now(UTC))
    except ConfigurationError as error:
        say(("signatures are not looked at: ", "yellow"), printable(error))
        return verdict


def _topics_of(body: bytes, bindings: Bindings) -> set[str]:
    kind = parse_event(body).type
    return {rule.topic for rule in bindings.rules if rule.type == kind}


def _last_case(stack: StackAddress, verdict: Resume) -> CaseView | None:
    try:
        ledger = stack.ledger()
    except ConfigurationError:
        return None
    try:
        found = ledger.read(partial(find_cases, reference=verdict.key, workflow=verdict.workflow))
    finally:
        ledger.close()
    return next((case for case in found if case.key == verdict.key), None)
