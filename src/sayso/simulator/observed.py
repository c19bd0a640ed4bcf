"""What a run showed from outside: what was sent, what partners did, what was published, how events and cases stand.

In and out: JSON lines, one record a line, its kind in `record`. The checker reads nothing else, so a simulated run and a run of the
real parts are judged alike. Times are seconds since 1970 by the ledger's clock.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Intent(StrEnum):
    """What the sender means, and so what the event may become."""

    OPEN = "open"  # opens a case that somebody must decide
    OPEN_AUTOMATIC = "open-automatic"  # opens a case that passes by itself
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"  # by the requester
    AMEND = "amend"  # by the requester, in what nobody's decision depends on
    PAY = "pay"  # what the order costs
    PAYMENT_FAILED = "payment-failed"
    POWERLESS = "powerless"  # understood, and may never count: own request, wrong amount, somebody else's withdrawal
    RECORD = "record"  # only to be kept
    UNBOUND = "unbound"  # no binding takes it
    MALFORMED = "malformed"  # nobody can understand it


@dataclass(frozen=True, slots=True)
class Sent:
    """One message: these bytes on this topic, however often. Messages of one identity with the same `content` say the same.

    `accepted`: the broker took it, so it must not be lost; it was in the ledger at `accepted_at` at the latest. An `actor` who is
    named by no other decision makes the checker sharper. It waits so long for its case; a case opened meanwhile gets it.
    """

    event_id: str
    source: str
    topic: str
    type: str
    key: str
    digest: str
    intent: str
    content: str = ""
    workflow: str = ""
    actor: str = ""
    accepted: bool = True
    sent_at: float | None = None
    accepted_at: float | None = None
    waits_seconds: float | None = None
    stage: str = ""
    """On which stage its sender is asked, where a case has several; on the first one people can decide from the beginning."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect that a partner service saw, with the number of calls under its key; `refused`: it said no, nothing happened."""

    key: str
    kind: str
    subject: str
    calls: int = 1
    case: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """One event that a subscriber of Sayso's topics saw; repetitions of one id may be left out. `subject` is its case."""

    topic: str
    id: str
    type: str
    subject: str | None
    data: Any = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event on `deadletters`: `id` is the dead letter's own, the rest names the event that could not be used."""

    id: str
    source: str | None
    event_id: str | None
    topic: str
    digest: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class LateReply:
    """What a binding's `on_late` published for the event that could not be used: a request to refund it, for example."""

    id: str
    type: str
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class FinalState:
    """How one event stands in the ledger, as asked from outside. `case` is the instance that it belongs to."""

    topic: str
    digest: str
    source: str | None
    event_id: str | None
    state: str
    reason: str | None
    case: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """A workflow said that it acted on this event."""

    case: str
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class CaseEnd:
    """How one case stands; `outcome` is None while it is open. `due_at` is the deadline of its decision, where
    known; until `payment_due_at` at least, it waits for its payment. `stages` are those on which people were asked, where known:
    one that waits longer than the time of its first stage had others after it. So many `approvals`, by different persons, make it
    approved.
    """

    case: str
    workflow: str
    key: str
    generation: int
    outcome: str | None
    decided_by: str | None = None
    opened_at: float | None = None
    due_at: float | None = None
    payment_due_at: float | None = None
    stages: list[str] = field(default_factory=list)
    approvals: int = 1


Record = Sent | Effect | Published | DeadLetter | LateReply | FinalState | Use | CaseEnd
KINDS = {kind.__name__: kind for kind in (Sent, Effect, Published, DeadLetter, LateReply, FinalState, Use, CaseEnd)}


@dataclass
class Observed:
    """All records of one run, by kind."""

    sent: list[Sent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    late_replies: list[LateReply] = field(default_factory=list)
    states: list[FinalState] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    cases: list[CaseEnd] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Put the record where it belongs."""
        getattr(self, PLACES[type(record)]).append(record)

    def records(self) -> Iterator[Record]:
        """Every record, kind by kind."""
        for place in PLACES.values():
            yield from getattr(self, place)


PLACES: dict[type[Any], str] = {
    Sent: "sent",
    Effect: "effects",
    Published: "published",
    DeadLetter: "dead_letters",
    LateReply: "late_replies",
    FinalState: "states",
    Use: "uses",
    CaseEnd: "cases",
}


def write_lines(observed: Observed) -> Iterator[str]:
    """The records as JSON lines, without line ends."""
    for record in observed.records():
        yield json.dumps({"record": type(record).__name__, **dataclasses.asdict(record)}, default=str)


def read_lines(lines: Iterable[str]) -> Observed:
    """The records of JSON lines; an unknown kind or field is an error."""
    observed = Observed()
    for line in lines:
        if line.strip():
            fields = json.loads(line)
            observed.add(KINDS[fields.pop("record")](**fields))
    return observed
