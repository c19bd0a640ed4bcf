"""The state machine of events is total, its ends are ends, and every failure can happen and be replayed."""

from __future__ import annotations

from itertools import product

import pytest

from sayso.ledger.states import FAILED, MATTERS_TO_A_CASE, RESENT, TRANSITIONS, EventState, IllegalTransitionError, check_transition

S = EventState
FINAL = {S.STARTED, S.RECORDED, S.CONSUMED, S.DEAD}


def reachable(start: EventState, without: frozenset[EventState] = frozenset()) -> set[EventState]:
    """Every state on a way from `start` that does not go through `without`."""
    seen: set[EventState] = set()
    edge = {start}
    while edge:
        seen |= edge
        edge = {after for before in edge for after in TRANSITIONS[before]} - seen - without
    return seen


def test_the_table_has_a_row_for_every_state() -> None:
    assert TRANSITIONS.keys() == set(EventState)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_there_is_no_way_out_of_an_end(state: EventState) -> None:
    assert not TRANSITIONS[state]


def test_there_is_a_way_out_of_everything_else() -> None:
    assert {state for state in EventState if not TRANSITIONS[state]} == FINAL


def test_every_state_can_happen() -> None:
    assert reachable(S.RECEIVED) == set(EventState)


@pytest.mark.parametrize("state", sorted(FAILED))
def test_every_failure_happens_without_a_replay_and_is_given_up_or_replayed(state: EventState) -> None:
    assert state in reachable(S.RECEIVED, without=FAILED - {state})
    assert TRANSITIONS[state] == {S.DEAD, S.RECEIVED}


def test_only_a_failure_is_given_up_or_replayed() -> None:
    assert {before for before in EventState if S.DEAD in TRANSITIONS[before]} == FAILED
    assert {before for before in EventState if S.RECEIVED in TRANSITIONS[before]} == FAILED


@pytest.mark.parametrize("state", EventState)
def test_an_event_always_gets_to_an_end(state: EventState) -> None:
    assert reachable(state) & FINAL


def test_a_used_event_has_been_given_to_its_case() -> None:
    assert {before for before in EventState if S.CONSUMED in TRANSITIONS[before]} == MATTERS_TO_A_CASE


def test_what_a_case_did_not_use_is_unclaimed_and_never_lost() -> None:
    assert all(S.UNCLAIMED in TRANSITIONS[state] for state in MATTERS_TO_A_CASE)


def test_no_case_opens_from_an_event_that_was_held() -> None:
    assert S.STARTED not in reachable(S.HELD, without=FAILED)


def test_what_a_resend_drives_again_has_failed_for_want_of_something_else() -> None:
    assert RESENT < FAILED
    assert {S.REJECTED, S.CONFLICT, S.REFUSED, S.LATE}.isdisjoint(RESENT)


@pytest.mark.parametrize(("before", "after"), list(product(EventState, EventState)))
def test_the_check_is_the_table(before: EventState, after: EventState) -> None:
    if after in TRANSITIONS[before]:
        check_transition(before, after)
    else:
        with pytest.raises(IllegalTransitionError, match=f"cannot go from {before} to {after}"):
            check_transition(before, after)
