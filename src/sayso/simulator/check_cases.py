"""Cases: opened once, ended, with an outcome, uses and effects that what was sent allows.

In: what was observed, and for each event its row and what its sender meant. Out: findings. The tables say, for each outcome, what must
have been used and what partners must have done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sayso.simulator.finding import Finding
from sayso.simulator.observed import CaseEnd, Effect, FinalState, Intent, Observed, Sent

Identity = tuple[str, str]

DECISIONS = (Intent.APPROVE, Intent.REJECT, Intent.WITHDRAW)
USED_FOR: dict[str, tuple[tuple[Intent, ...], tuple[Intent, ...]]] = {
    "auto_approved": ((), ()),
    "approved": ((Intent.APPROVE,), ()),
    "completed": ((Intent.APPROVE, Intent.PAY), ()),
    "rejected": ((Intent.REJECT,), ()),
    "withdrawn": ((Intent.WITHDRAW,), (Intent.APPROVE,)),
    "timed_out": ((), ()),
    "payment_failed": ((Intent.APPROVE,), (Intent.PAYMENT_FAILED,)),
    "failed": ((), (Intent.APPROVE,)),
}
"""Outcome → what its case must have used, and what it may have used besides; each once."""
GIVEN_UP = ("rejected", "withdrawn", "timed_out")
"""Where several have to approve, some of them may have, before it ended so."""
FIRST_STAGE = ("", "first")

DONE_FOR: dict[tuple[str, str], tuple[str, ...]] = {
    ("purchase_order_workflow", "completed"): ("orders.placed",),
    ("purchase_order_workflow", "payment_failed"): ("orders.placed", "orders.cancelled"),
    ("purchase_order_workflow", "rejected"): ("orders.cancelled",),
    ("purchase_order_workflow", "withdrawn"): ("orders.cancelled",),
    ("purchase_order_workflow", "timed_out"): ("orders.cancelled",),
    ("purchase_order_workflow", "failed"): ("orders.cancelled",),
    ("approval_workflow", "approved"): ("actions.executed",),
    ("task_approval_workflow", "approved"): ("tasks.assigned",),
}
"""What partners must have done, each once, and nothing else."""


def check_cases(
    observed: Observed, rows: dict[Identity, FinalState], means: dict[Identity, Sent], restarts: frozenset[str]
) -> Iterator[Finding]:
    """Every rule about cases."""
    openings, uses, wanted = _by_case(rows, means)
    effects: dict[str, list[Effect]] = defaultdict(list)
    for effect in observed.effects:
        effects[effect.case or effect.key.rsplit("/", 2)[0]].append(effect)
    of_key: Counter[tuple[str, str]] = Counter()
    for end in observed.cases:
        of_key[end.workflow, end.key] += 1
        case_effects = effects.pop(end.case, [])
        yield from _check_case(end, openings.get(end.case, []), uses.get(end.case, []), case_effects)
        yield from _check_deadlines(end, wanted.get((end.workflow, end.key), []), uses.get(end.case, []))
    for (workflow, key), count in of_key.items():
        if count > 1 and workflow not in restarts:
            yield Finding("opened twice", f"{workflow} {key}", f"{count} cases")
    known = {end.case for end in observed.cases}
    for case in (openings.keys() | uses.keys()) - known:
        yield Finding("lost case", case, "events belong to it, and it is not there")
    for case, orphans in effects.items():
        yield Finding("wrong effect", case, f"no such case, and partners saw {', '.join(effect.kind for effect in orphans)}")
    for sent in means.values():
        if sent.intent in (Intent.OPEN, Intent.OPEN_AUTOMATIC) and sent.accepted and not of_key[sent.workflow, sent.key]:
            yield Finding("lost case", f"{sent.workflow} {sent.key}", f"{sent.event_id} would have opened it")
    yield from _check_expired(observed, rows, means)
    yield from _check_kept_payments(rows, means)
    yield from _check_said_uses(observed, means)


def _by_case(
    rows: dict[Identity, FinalState], means: dict[Identity, Sent]
) -> tuple[dict[str, list[Sent]], dict[str, list[Sent]], dict[tuple[str, str], list[Sent]]]:
    """Who opened a case, what it used (as the ledger says), and what was sent for each key."""
    openings: dict[str, list[Sent]] = defaultdict(list)
    uses: dict[str, list[Sent]] = defaultdict(list)
    wanted: dict[tuple[str, str], list[Sent]] = defaultdict(list)
    for name, sent in means.items():
        row = rows.get(name)
        wanted[sent.workflow, sent.key].append(sent)
        if row is not None and row.state == "started":
            openings[row.case or ""].append(sent)
        elif row is not None and row.state == "consumed":
            uses[row.case or ""].append(sent)
    return openings, uses, wanted


def _check_case(end: CaseEnd, openings: list[Sent], uses: list[Sent], effects: list[Effect]) -> Iterator[Finding]:
    about = f"{end.case} ({end.workflow} {end.key})"
    if len(openings) != 1:
        yield Finding("opened twice" if openings else "invented", about, f"{len(openings)} events say that they opened it")
        return
    for sent in (*openings, *uses):
        if (sent.workflow, sent.key) != (end.workflow, end.key):
            yield Finding("wrong case", about, f"{sent.event_id} is for {sent.workflow} {sent.key}")
    if end.outcome is None:
        yield Finding("case not ended", about, "it is open")
        return
    if end.outcome not in USED_FOR:
        yield Finding("wrong outcome", about, f"nobody knows the outcome {end.outcome}")
        return
    automatic = openings[0].intent == Intent.OPEN_AUTOMATIC
    if automatic != (end.outcome == "auto_approved"):
        yield Finding("wrong outcome", about, f"{openings[0].intent} ended {end.outcome}")
    yield from _check_uses(end, about, uses)
    yield from _check_effects(end, about, effects, _placed_first(end, uses))


def _check_uses(end: CaseEnd, about: str, uses: list[Sent]) -> Iterator[Finding]:
    assert end.outcome is not None
    needed, allowed = USED_FOR[end.outcome]
    used = Counter(Intent(sent.intent) for sent in uses)
    for intent in needed:
        if not used[intent]:
            yield Finding("wrong outcome", about, f"{end.outcome}, and it used no {intent}")
    if Intent.APPROVE in needed and 0 < used[Intent.APPROVE] < end.approvals:
        yield Finding("wrong outcome", about, f"{end.outcome} after {used[Intent.APPROVE]} approvals of {end.approvals}")
    some = (Intent.APPROVE,) if end.approvals > 1 and end.outcome in GIVEN_UP else ()
    for intent, count in used.items():
        if intent not in (*needed, *allowed, *some, Intent.AMEND):
            yield Finding("wrong outcome", about, f"{end.outcome}, and it used {intent}")
        elif count > (end.approvals if intent == Intent.APPROVE else 1):
            yield Finding("used twice", about, f"it used {count} of {intent}")
    people = Counter(sent.actor for sent in uses if sent.intent == Intent.APPROVE)
    for actor, seats in people.items():
        if seats > 1:
            yield Finding("used twice", about, f"{actor or 'somebody'} filled {seats} seats")
    actors = {sent.actor for sent in uses if sent.intent in DECISIONS and sent.actor}
    if end.decided_by is not None and actors and end.decided_by not in actors:
        yield Finding("wrong outcome", about, f"decided by {end.decided_by}, and it used the decision of {', '.join(sorted(actors))}")


def _was_approved(end: CaseEnd, uses: list[Sent]) -> bool:
    return sum(sent.intent == Intent.APPROVE for sent in uses) == end.approvals


def _placed_first(end: CaseEnd, uses: list[Sent]) -> tuple[str, ...]:
    """Withdrawn when it was approved already: then it was placed, and cancelled."""
    return ("orders.placed",) if end.outcome == "withdrawn" and _was_approved(end, uses) else ()


def _check_effects(end: CaseEnd, about: str, effects: list[Effect], also: tuple[str, ...]) -> Iterator[Finding]:
    needed = (*DONE_FOR.get((end.workflow, end.outcome or ""), ()), *also)
    refused = {effect.kind for effect in effects if effect.refused}
    done = Counter(effect.kind for effect in effects if not effect.refused)
    for kind in needed:
        if not done[kind] and kind not in refused:
            yield Finding("lost effect", about, f"{end.outcome}, and partners saw no {kind}")
    for kind, count in done.items():
        if kind not in needed:
            yield Finding("wrong effect", about, f"{end.outcome}, and partners saw {kind}")
        elif count > 1:
            yield Finding("effect twice", about, f"partners saw {count} of {kind}")
    if end.outcome == "failed" and not refused:
        yield Finding("wrong outcome", about, "failed, and no partner had refused anything")
    for effect in effects:
        if effect.subject != end.key:
            yield Finding("wrong effect", about, f"{effect.kind} was done to {effect.subject}")


def _check_deadlines(end: CaseEnd, sent_for_key: list[Sent], uses: list[Sent]) -> Iterator[Finding]:
    """What was surely in the ledger between opening and deadline must count; what was sent after it must not."""
    about = f"{end.case} ({end.workflow} {end.key})"
    if end.outcome == "timed_out":
        for sent in sent_for_key:
            if _would_count(sent, uses) and _surely_within(sent, end.opened_at, end.due_at):
                yield Finding("wrong outcome", about, f"timed out, and {sent.event_id} ({sent.intent}) came in time")
    if end.outcome == "payment_failed" and not any(sent.intent == Intent.PAYMENT_FAILED for sent in uses):
        for sent in sent_for_key:
            if sent.intent == Intent.PAY and _surely_within(sent, end.opened_at, end.payment_due_at):
                yield Finding("wrong outcome", about, f"not paid, and {sent.event_id} came in time")
    for sent in uses:
        if sent.intent not in DECISIONS or end.due_at is None or sent.sent_at is None:
            continue
        waits_for_payment = sent.intent == Intent.WITHDRAW and _was_approved(end, uses)
        if sent.sent_at > end.due_at and not waits_for_payment:
            yield Finding("wrong outcome", about, f"{sent.event_id} ({sent.intent}) was sent after the deadline, and used")


def _would_count(sent: Sent, uses: list[Sent]) -> bool:
    """Whether it decides something at any time before the deadline: the requester's change of mind, and a vote on the first stage
    until somebody has approved there.
    """
    if sent.intent == Intent.WITHDRAW:
        return True
    return sent.intent in DECISIONS and sent.stage in FIRST_STAGE and not any(use.intent == Intent.APPROVE for use in uses)


def _surely_within(sent: Sent, opened_at: float | None, due_at: float | None) -> bool:
    if opened_at is None or due_at is None or sent.sent_at is None or sent.accepted_at is None:
        return False
    return opened_at <= sent.sent_at and sent.accepted_at <= due_at


def _check_expired(observed: Observed, rows: dict[Identity, FinalState], means: dict[Identity, Sent]) -> Iterator[Finding]:
    """An early event waits: it may not expire when its case was opened soon afterwards."""
    opened: dict[tuple[str, str], float] = {}
    for end in observed.cases:
        if end.opened_at is not None and end.generation == 1:
            opened[end.workflow, end.key] = end.opened_at
    for name, row in rows.items():
        sent = means.get(name)
        if row.state != "expired" or sent is None or sent.sent_at is None or sent.waits_seconds is None:
            continue
        opened_at = opened.get((sent.workflow, sent.key))
        if opened_at is not None and opened_at < sent.sent_at + sent.waits_seconds:
            yield Finding("wrong state", f"{name[0]} {name[1]}", "it expired, and its case was opened while it waited")


def _check_kept_payments(rows: dict[Identity, FinalState], means: dict[Identity, Sent]) -> Iterator[Finding]:
    """The right amount pays, or comes too late and can be given back. Refused, it would be neither."""
    for name, sent in means.items():
        row = rows.get(name)
        if sent.intent == Intent.PAY and row is not None and row.state == "refused":
            yield Finding("money kept", f"{name[0]} {name[1]}", f"the right payment was refused: {row.reason}")


def _check_said_uses(observed: Observed, means: dict[Identity, Sent]) -> Iterator[Finding]:
    """What workflows themselves said, beside what the ledger says."""
    cases: dict[Identity, set[str]] = defaultdict(set)
    for use in observed.uses:
        cases[use.source, use.event_id].add(use.case)
    for name, users in cases.items():
        if name not in means:
            yield Finding("invented", f"{name[0]} {name[1]}", f"used by {', '.join(sorted(users))}, and nobody sent it")
        if len(users) > 1:
            yield Finding("used twice", f"{name[0]} {name[1]}", f"used by {', '.join(sorted(users))}")
