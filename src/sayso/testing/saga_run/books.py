"""The books: what the partner service says stands, against how the case ended.

In: a fate, its case, the partner's books and effects, what is unsettled in the ledger. Out: what is wrong, in words; nothing if all
is well. Invariants: after `completed` every step stands, after `compensated` none, after `failed` at most those that a person was told
of; who paid early is charged or has paid, never both; nothing happened twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sayso.testing.saga_run.fates import Fate


@dataclass(frozen=True)
class Account:
    """What there is to see of one saga."""

    instance_id: str
    outcome: str | None
    unsettled: frozenset[str]
    payment: str | None
    """The state of the payment that came early."""

    books: Iterable[Mapping[str, Any]]
    effects: Iterable[Mapping[str, Any]]


def wrong_with(fate: Fate, account: Account) -> Iterator[str]:
    """Every complaint about one saga."""
    if account.outcome != fate.outcome:
        yield f"{fate.key} ended as {account.outcome}, not as {fate.outcome}: {fate}"
    if account.unsettled != fate.unsettled:
        yield f"{fate.key} reported {sorted(account.unsettled)}, not {sorted(fate.unsettled)}: {fate}"
    yield from _standing(fate, account)
    yield from _payment(fate, account)
    for kind, times in Counter(effect["kind"] for effect in account.effects).items():
        if times > 1:
            yield f"{fate.key}: {kind} happened {times} times"


def _standing(fate: Fate, account: Account) -> Iterator[str]:
    standing = {line["resource"] for line in account.books if line["stands"] and line["matter"] == account.instance_id}
    resources = {step: resource for step, resource, _ in fate.kind.steps}
    must = set(resources.values()) - ({"payments"} if account.payment == "consumed" else set())
    may = {resources[step] for step in account.unsettled if step in resources}
    if fate.failing == 3 and fate.how == "answer lost":
        may.add("dashboard")  # it has no undo
    if account.outcome == "completed" and standing != must:
        yield f"{fate.key} is completed, and {sorted(standing)} stand, not {sorted(must)}"
    if account.outcome != "completed" and standing - may:
        yield f"{fate.key} ended as {account.outcome}, and {sorted(standing - may)} still stand: {fate}"


def _payment(fate: Fate, account: Account) -> Iterator[str]:
    """The payment from outside was used or is given back."""
    outside = {line["status"] for line in account.books if line["resource"] == "payments" and not line["matter"]}
    is_refunded = account.payment == "consumed" and account.outcome != "completed"
    if outside != ({"refunded"} if is_refunded else set()):
        yield f"{fate.key} ended as {account.outcome}, its payment is {account.payment}, and of that {sorted(outside)}: {fate}"
    if fate.paid_early and account.payment not in ("consumed", "unclaimed", "late"):
        yield f"{fate.key} was paid for early, and the payment is {account.payment}"
