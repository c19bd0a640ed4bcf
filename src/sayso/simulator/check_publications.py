"""Publications: every outcome, request, command, dead letter and refund under one id, and none too many.

In: what was observed, and for each event its row. Out: findings. A captured payment is used by its case, or it failed and is a dead
letter; a refund is asked for, once, only if it came too late. Never used and refunded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sayso.simulator.finding import Finding
from sayso.simulator.observed import CaseEnd, DeadLetter, FinalState, LateReply, Observed, Published

Identity = tuple[str, str]

OUTCOME = "sayso.case.closed.v1"
APPROVAL_REQUEST = "sayso.approval.requested.v1"
PAYMENT_REQUEST = "sayso.payment.requested.v1"

FAILED = frozenset({"refused", "rejected", "unmatched", "conflict", "late", "unclaimed", "expired"})
TOO_LATE = frozenset({"late", "unclaimed", "expired"})
DRIVEN_AGAIN = frozenset({"expired", "unmatched"})
"""Where a resend makes an event run again, so that it may come to rest, and be a dead letter, more than once."""


def check_publications(observed: Observed, rows: dict[Identity, FinalState]) -> Iterator[Finding]:
    """Every rule about what Sayso published."""
    yield from _check_ids(observed.published)
    by_case: dict[tuple[str | None, str], dict[str, Published]] = defaultdict(dict)
    for event in observed.published:
        by_case[event.subject, event.type][event.id] = event
    placed = {
        effect.case or effect.key.rsplit("/", 2)[0]
        for effect in observed.effects
        if effect.kind == "orders.placed" and not effect.refused
    }
    for end in observed.cases:
        yield from _check_case(end, by_case, end.case in placed)
    yield from _check_dead_letters(observed, rows)


def _check_ids(published: list[Published]) -> Iterator[Finding]:
    first: dict[str, Published] = {}
    for event in published:
        known = first.setdefault(event.id, event)
        if known is not event and known != event:
            yield Finding("id used twice", event.id, f"two contents under one id: {known.data} and {event.data}")


def _check_case(end: CaseEnd, by_case: dict[tuple[str | None, str], dict[str, Published]], placed: bool) -> Iterator[Finding]:
    about = f"{end.case} ({end.workflow} {end.key})"
    outcomes = by_case.get((end.case, OUTCOME), {})
    yield from _exactly(about, "outcome", outcomes, 0 if end.outcome is None else 1)
    for event in outcomes.values():
        if end.outcome is not None and event.data["outcome"] != end.outcome:
            yield Finding("wrong publication", about, f"it ended {end.outcome}, and {event.id} says {event.data['outcome']}")
    yield from _check_requests(end, about, by_case.get((end.case, APPROVAL_REQUEST), {}))
    yield from _exactly(about, "payment request", by_case.get((end.case, PAYMENT_REQUEST), {}), 1 if placed else 0)


def _check_requests(end: CaseEnd, about: str, found: dict[str, Published]) -> Iterator[Finding]:
    """One a stage that was asked: a case that escalates asks twice."""
    stages = () if end.outcome == "auto_approved" else end.stages or [""]
    yield from _exactly(about, "approval request", found, len(stages))
    names = Counter(stage.partition("/")[0] for stage in stages if stage)  # asked again it is another task, of the same name
    for stage, count in names.items():
        asked = {name: event for name, event in found.items() if event.data["stage"] == stage}
        yield from _exactly(about, f"approval request for {stage}", asked, count)


def _exactly(about: str, what: str, found: dict[str, Published], wanted: int) -> Iterator[Finding]:
    if len(found) < wanted:
        yield Finding("lost publication", about, f"no {what}")
    elif len(found) > wanted:
        yield Finding("published twice" if wanted else "wrong publication", about, f"{len(found)} of {what}: {', '.join(found)}")


def _check_dead_letters(observed: Observed, rows: dict[Identity, FinalState]) -> Iterator[Finding]:
    letters: dict[Identity, dict[str, DeadLetter]] = defaultdict(dict)
    beside: dict[tuple[str, str], dict[str, DeadLetter]] = defaultdict(dict)
    for letter in observed.dead_letters:
        if letter.state in ("conflict", "rejected"):
            beside[letter.topic, letter.digest][letter.id] = letter
        else:
            letters[letter.source or "", letter.event_id or ""][letter.id] = letter
    replies: dict[Identity, dict[str, LateReply]] = defaultdict(dict)
    for reply in observed.late_replies:
        replies[reply.source, reply.event_id][reply.id] = reply
    for name, row in rows.items():
        yield from _check_one(name, row, letters.pop(name, {}), replies.pop(name, {}))
    for row in observed.states:
        if row.state in ("conflict", "rejected"):
            found = beside.pop((row.topic, row.digest), {})
            if len(found) != 1:
                rule = "dead-lettered twice" if found else "lost dead letter"
                yield Finding(rule, f"{row.source} {row.event_id}", f"it is {row.state}, with {len(found)} dead letters")
    for name in letters:
        yield Finding("wrong publication", f"{name[0]} {name[1]}", "a dead letter without an event")
    for name in replies:
        yield Finding("wrong publication", f"{name[0]} {name[1]}", "a late reply without an event")


def _check_one(name: Identity, row: FinalState, letters: dict[str, DeadLetter], replies: dict[str, LateReply]) -> Iterator[Finding]:
    about = f"{name[0]} {name[1]}"
    for state in {letter.state for letter in letters.values()}:
        count = sum(letter.state == state for letter in letters.values())
        if count > 1 and state not in DRIVEN_AGAIN:
            yield Finding("dead-lettered twice", about, f"{count} dead letters say {state}")
        if state != row.state and state not in DRIVEN_AGAIN:
            yield Finding("wrong publication", about, f"it is {row.state}, and a dead letter says {state}")
    if len(replies) > 1:
        yield Finding("replied twice", about, f"{len(replies)} late replies: {', '.join(replies)}")
    says_so = any(letter.state == row.state for letter in letters.values())
    if row.state in FAILED and not says_so:
        yield Finding("lost dead letter", about, f"it is {row.state}, without a dead letter")
    if replies and row.state not in TOO_LATE:
        yield Finding("money twice", about, f"it is {row.state}, and a late reply was published")
