"""The checker: what was lost, used twice, left without a final state, or wrong.

In: `Observed`, plain records of what was sent and of what was seen from outside. Out: findings, each with the event or case.
Invariant: it imports nothing of the code that it judges (import-linter); what is right is written down here once more, as tables.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sayso.simulator.check_cases import check_cases
from sayso.simulator.check_publications import check_publications
from sayso.simulator.finding import Finding
from sayso.simulator.observed import FinalState, Intent, Observed, Sent

Identity = tuple[str, str]

UNFINISHED = frozenset({"received", "held", "delivering", "delivered"})
FAILED_TO_BE_USED = frozenset({"refused", "late", "unclaimed", "expired", "dead"})
OPENING = frozenset({"started", "refused", "dead"})
MAY_BECOME: dict[str, frozenset[str]] = {
    Intent.OPEN: OPENING,
    Intent.OPEN_AUTOMATIC: OPENING,
    Intent.APPROVE: FAILED_TO_BE_USED | {"consumed"},
    Intent.REJECT: FAILED_TO_BE_USED | {"consumed"},
    Intent.WITHDRAW: FAILED_TO_BE_USED | {"consumed"},
    Intent.AMEND: FAILED_TO_BE_USED | {"consumed"},
    Intent.PAY: FAILED_TO_BE_USED | {"consumed"},
    Intent.PAYMENT_FAILED: FAILED_TO_BE_USED | {"consumed"},
    Intent.POWERLESS: FAILED_TO_BE_USED,
    Intent.RECORD: frozenset({"recorded"}),
    Intent.UNBOUND: frozenset({"unmatched", "dead"}),
    Intent.MALFORMED: frozenset({"rejected", "dead"}),
}
BESIDE = frozenset({"conflict", "rejected"})
"""Rows that claim no identity: the event that they name may have another row."""


@dataclass(frozen=True)
class Terms:
    """What else was agreed for the run: workflows whose ended keys may be opened again, and whether `held` may last."""

    restarts: frozenset[str] = frozenset()
    may_stay_held: bool = False


def check(observed: Observed, terms: Terms | None = None) -> list[Finding]:
    """Everything that is wrong; empty when all is well."""
    terms = terms or Terms()
    events = _Events(observed, terms)
    findings = list(events.check())
    findings += check_cases(observed, events.main_rows, events.means, terms.restarts)
    findings += check_publications(observed, events.main_rows)
    return findings


class _Events:
    """Rows and messages, brought together by identity."""

    def __init__(self, observed: Observed, terms: Terms) -> None:
        self._terms = terms
        self._messages: dict[Identity, list[Sent]] = defaultdict(list)
        self._malformed: list[Sent] = []
        for sent in observed.sent:
            if sent.intent == Intent.MALFORMED:
                self._malformed.append(sent)
            else:
                self._messages[sent.source, sent.event_id].append(sent)
        self._rows: dict[Identity, list[FinalState]] = defaultdict(list)
        self._by_bytes: Counter[tuple[str, str]] = Counter()
        self._beside: dict[tuple[str, str], FinalState] = {}
        for row in observed.states:
            self._by_bytes[row.topic, row.digest] += 1
            if row.state in BESIDE:
                self._beside[row.topic, row.digest] = row
            else:
                self._rows[row.source or "", row.event_id or ""].append(row)
        self.main_rows: dict[Identity, FinalState] = {name: rows[0] for name, rows in self._rows.items()}
        self.means: dict[Identity, Sent] = {name: self._said(name, sent) for name, sent in self._messages.items()}

    def _said(self, name: Identity, sent: list[Sent]) -> Sent:
        """Which of the messages of one identity the ledger took; the others must be conflicts if they say something else."""
        row = self.main_rows.get(name)
        if row is None or len(sent) == 1:
            return sent[0]
        return next((each for each in sent if each.digest == row.digest and each.topic == row.topic), sent[0])

    def check(self) -> Iterator[Finding]:
        for name, sent in self._messages.items():
            yield from self._check_identity(name, sent)
        for each in self._malformed:
            row = self._beside.get((each.topic, each.digest))
            if row is None and each.accepted:
                yield Finding("lost", _event(each), "there is no row for this malformed message")
            elif row is not None:
                yield from _check_state(each, row, self._terms)
        yield from self._check_rows()

    def _check_identity(self, name: Identity, sent: list[Sent]) -> Iterator[Finding]:
        rows = self._rows.get(name, ())
        if len(rows) > 1:
            yield Finding("row twice", _event(sent[0]), f"{len(rows)} rows: {', '.join(row.state for row in rows)}")
        if not rows:
            if any(each.accepted for each in sent):
                yield Finding("lost", _event(sent[0]), "it was accepted, and there is no row")
            return
        taken = self.means[name]
        yield from _check_state(taken, rows[0], self._terms)
        for other in sent:
            if other.content == taken.content:
                continue
            beside = self._beside.get((other.topic, other.digest))
            if beside is None or beside.state != "conflict":
                if other.accepted:
                    yield Finding("lost", _event(other), "its name was used before with another content, and no row says `conflict`")
            elif not beside.reason:
                yield Finding("no reason", _event(other), "its conflict has no reason")

    def _check_rows(self) -> Iterator[Finding]:
        known = {(sent.topic, sent.digest) for sent in self._malformed}
        contents: dict[Identity, set[str]] = {}
        for name, messages in self._messages.items():
            known.update((sent.topic, sent.digest) for sent in messages)
            contents[name] = {sent.content for sent in messages}
        for (topic, digest), count in self._by_bytes.items():
            if count > 1:
                yield Finding("row twice", f"{topic} {digest[:12]}", f"{count} rows for the same bytes")
            if (topic, digest) not in known:
                yield Finding("invented", f"{topic} {digest[:12]}", "nobody sent these bytes")
        for row in self._beside.values():
            name = (row.source or "", row.event_id or "")
            if row.state == "conflict" and len(contents.get(name, ())) < 2:
                yield Finding("wrong state", f"{name[0]} {name[1]}", "a conflict, and all of its messages say the same")
            elif row.state == "rejected" and not any(sent.digest == row.digest for sent in self._malformed):
                yield Finding("wrong state", f"{name[0]} {name[1]}", f"rejected, and well-formed: {row.reason}")


def _check_state(sent: Sent, row: FinalState, terms: Terms) -> Iterator[Finding]:
    if row.state in UNFINISHED and not (row.state == "held" and terms.may_stay_held):
        yield Finding("no final state", _event(sent), f"it is {row.state}: {row.reason}")
    elif row.state not in MAY_BECOME[sent.intent] and row.state != "held":
        yield Finding("wrong state", _event(sent), f"{sent.intent} became {row.state}: {row.reason}")
    if not row.reason:
        yield Finding("no reason", _event(sent), f"it is {row.state}, and nothing says why")


def _event(sent: Sent) -> str:
    return f"{sent.source} {sent.event_id} ({sent.intent} {sent.key})"
