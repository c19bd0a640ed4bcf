"""The saga run's plan reaches every failure, and its judge finds what it must find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sayso.testing.saga_run.books import Account, wrong_with
from sayso.testing.saga_run.fates import KINDS, Fate, fates_of

ALL = [fate for seed in range(200) for fate in fates_of(seed)]
TRIP = Fate("book_trip", "trip-1", failing=2, how="fails")


def line(resource: str, *, stands: bool, matter: str = "case-1") -> dict[str, Any]:
    return {"resource": resource, "matter": matter, "stands": stands, "status": "booked" if stands else "cancelled"}


def account(outcome: str, *books: dict[str, Any], unsettled: frozenset[str] = frozenset(), **more: Any) -> Account:
    return Account("case-1", outcome, unsettled, more.pop("payment", None), books, more.pop("effects", ()))


def test_two_hundred_seeds_fail_at_every_step_in_every_way_and_in_every_undo() -> None:
    failures = {(fate.workflow, fate.failing, fate.how) for fate in ALL if fate.failing is not None}
    steps = [(name, index) for name, kind in KINDS.items() for index in range(len(kind.steps))]
    assert failures == {(name, index, how) for name, index in steps for how in ("fails", "refused", "answer lost")}
    undos = {(fate.workflow, step) for fate in ALL for step in fate.unsettled}
    assert undos == {(name, step) for name, kind in KINDS.items() for step, _, can_be_undone in kind.steps if can_be_undone}
    assert any(fate.paid_early and fate.outcome == outcome for outcome in ("completed", "compensated") for fate in ALL)


def test_the_same_seed_is_the_same_fate() -> None:
    assert fates_of(7) == fates_of(7)


def test_books_that_balance_are_not_complained_about() -> None:
    assert not list(wrong_with(TRIP, account("compensated", line("flights", stands=False), line("hotels", stands=False))))
    good = replace(TRIP, failing=None)
    assert not list(wrong_with(good, account("completed", *(line(name, stands=True) for name in ("flights", "hotels", "cars")))))
    left = replace(TRIP, undo_fails={1: "fails"})
    stands = line("hotels", stands=True)
    assert not list(wrong_with(left, account("failed", stands, unsettled=frozenset({"book_hotel"}))))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (account("compensated", line("hotels", stands=True)), "['hotels'] still stand"),
        (account("completed"), "ended as completed, not as compensated"),
        (account("compensated", unsettled=frozenset({"book_car"})), "reported ['book_car'], not []"),
        (account("compensated", effects=[{"kind": "flights.booked"}] * 2), "flights.booked happened 2 times"),
    ],
)
def test_books_that_do_not_balance_are(wrong: Account, words: str) -> None:
    assert any(words in complaint for complaint in wrong_with(TRIP, wrong))


def test_who_paid_early_is_not_charged_too() -> None:
    order = Fate("order_saga", "order-1", failing=None, paid_early=True)
    everything = [line(name, stands=True) for name in ("inventory", "payments", "shipments")]
    assert any("payments" in complaint for complaint in wrong_with(order, account("completed", *everything, payment="consumed")))
    assert not list(wrong_with(order, account("completed", *everything, payment="unclaimed")))
