"""Quorums, against an oracle that tries every way in which the seats that are left could still answer."""

from __future__ import annotations

import math
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from sayso.contracts.approval_plan import Quorum, QuorumKind
from sayso.contracts.approval_state import Answer
from sayso.gate.quorum import answer_of

YES, NO, NEITHER = Answer.APPROVE, Answer.REJECT, Answer.ABSTAIN
ANSWERS = st.lists(st.sampled_from(Answer), max_size=5)


def end_of(quorum: Quorum, answers: tuple[Answer, ...]) -> Answer:
    """What a stage says whose every seat has answered, as the contract words it."""
    yes, no, seats = answers.count(YES), answers.count(NO), len(answers)
    match quorum.kind:
        case QuorumKind.ANY:
            return next((answer for answer in answers if answer is not NEITHER), NO)
        case QuorumKind.ALL:
            return YES if yes == seats else NO
        case QuorumKind.NUMBER:
            return YES if yes >= (quorum.of or 1) else NO
        case QuorumKind.PERCENT:
            return YES if yes >= math.ceil(seats * (quorum.of or 100) / 100) else NO
        case QuorumKind.VETO:
            return NO if no else YES
        case QuorumKind.ALL_RESPONDED:
            return YES if yes > no else NO


def oracle(quorum: Quorum, seats: int, answers: list[Answer]) -> Answer | None:
    """Decided as soon as nothing that could still be said changes the end; where all are to be heard, not before they were."""
    ends = {end_of(quorum, (*answers, *rest)) for rest in product(Answer, repeat=seats - len(answers))}
    if len(answers) < seats and quorum.kind is QuorumKind.ALL_RESPONDED:
        return None
    return ends.pop() if len(ends) == 1 else None


@given(st.sampled_from(QuorumKind), st.integers(1, 100), st.integers(1, 5), ANSWERS)
def test_every_quorum_agrees_with_the_oracle(kind: QuorumKind, of: int, seats: int, said: list[Answer]) -> None:
    of = min(of, seats) if kind is QuorumKind.NUMBER else of
    quorum = Quorum(kind=kind, of=of if kind in (QuorumKind.NUMBER, QuorumKind.PERCENT) else None)
    answers = said[:seats]
    assert answer_of(quorum, seats, answers) == oracle(quorum, seats, answers)


def test_a_number_that_cannot_be_reached_rejects_at_once() -> None:
    quorum = Quorum(kind=QuorumKind.NUMBER, of=2)
    assert answer_of(quorum, 3, [NO]) is None
    assert answer_of(quorum, 3, [NO, NEITHER]) is NO


def test_a_tie_among_those_who_do_not_abstain_rejects() -> None:
    assert answer_of(Quorum(kind=QuorumKind.ALL_RESPONDED), 3, [YES, NO, NEITHER]) is NO
    assert answer_of(Quorum(kind=QuorumKind.ALL_RESPONDED), 3, [YES, NEITHER, NEITHER]) is YES
