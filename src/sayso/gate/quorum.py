"""Quorum: how the votes of a stage make one answer.

In: the rule, how many seats there are, the answers in the order in which they were accepted. Out: approve, reject, or None: not yet.
An abstention fills its seat and approves nothing; where every seat was filled without a yes, the answer is no.
"""

from __future__ import annotations

from collections.abc import Sequence

from sayso.contracts.approval_plan import Quorum, QuorumKind
from sayso.contracts.approval_state import Answer


def seats_needed(quorum: Quorum, seats: int) -> int:
    """How many of the seats must be filled, at the least, for a yes. Where silence is a yes, somebody must be able to say no."""
    if quorum.kind is QuorumKind.NUMBER:
        return quorum.of or 1
    if quorum.kind is QuorumKind.PERCENT:
        return -(-seats * (quorum.of or 100) // 100)
    return seats if quorum.kind in (QuorumKind.ALL, QuorumKind.ALL_RESPONDED) else 1


def answer_of(quorum: Quorum, seats: int, answers: Sequence[Answer]) -> Answer | None:
    """What the stage says by now."""
    yes, no = answers.count(Answer.APPROVE), answers.count(Answer.REJECT)
    left = seats - len(answers)
    if quorum.kind is QuorumKind.ANY:
        return _first(answers) or (Answer.REJECT if left <= 0 else None)
    if quorum.kind is QuorumKind.VETO:
        return Answer.REJECT if no else Answer.APPROVE if left <= 0 else None
    if quorum.kind is QuorumKind.ALL_RESPONDED:
        return None if left > 0 else Answer.APPROVE if yes > no else Answer.REJECT
    needed = seats_needed(quorum, seats)
    if yes >= needed:
        return Answer.APPROVE
    return Answer.REJECT if yes + left < needed or (quorum.kind is QuorumKind.ALL and no) else None


def _first(answers: Sequence[Answer]) -> Answer | None:
    return next((answer for answer in answers if answer is not Answer.ABSTAIN), None)
