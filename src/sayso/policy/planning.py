"""`plan`: a policy's answer for one request. Pure: the same policy, request, directory and moment give the same plan.

In: a compiled policy, the request as the ledger keeps it, the directory, the time. Out: `ApprovalPlan`. Invariants: the requester
holds no seat, nor does anybody twice in a stage; a stage that nobody can decide keeps no seats, so that it alerts and escalates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sayso.contracts.approval_plan import ApprovalPlan, Quorum, QuorumKind, Seat, StagePlan
from sayso.contracts.payload import person_key
from sayso.contracts.signed import request_hash
from sayso.directory import Directory
from sayso.errors import MalformedError
from sayso.policy.conditions import view_of
from sayso.policy.rules import Approver, Policy, Rule, StageRule

REQUESTER = "requester"
"""The field of a request that says who asked."""


def plan(policy: Policy, request: Mapping[str, Any], directory: Directory, now: datetime) -> ApprovalPlan:
    """Who has to decide on this request, in which order, until when. `MalformedError` when a condition has no value for it."""
    asked_by = request.get(REQUESTER)
    people = _People(directory, str(asked_by) if asked_by is not None else None, now)
    rule = _rule_for(policy, request, people)
    return ApprovalPlan(
        policy=policy.name,
        version=policy.version,
        policy_hash=policy.digest,
        request_hash=request_hash(request),
        rule=rule.name,
        automatic=rule.automatic,
        rounds=tuple(tuple(people.stage(stage) for stage in stages) for stages in rule.rounds),
        wait_in_all=rule.wait_in_all,
    )


def _rule_for(policy: Policy, request: Mapping[str, Any], people: _People) -> Rule:
    """The first rule whose condition holds. The requester is looked up once, and every condition sees the same."""
    view = view_of(request, people.requester, people.directory, policy.numbers, policy.words)
    for rule in policy.rules:
        try:
            if rule.when is None or rule.when.holds(view):
                return rule
        except MalformedError as error:
            raise MalformedError(f'{policy.place}:{rule.line}: rule "{rule.name}": {error}') from error
    raise AssertionError(policy.name)  # the last rule has no condition


@dataclass(frozen=True)
class _People:
    """The directory as it is for one request."""

    directory: Directory
    requester: str | None
    now: datetime

    def stage(self, rule: StageRule) -> StagePlan:
        forbidden = self._forbidden(rule)
        names = (name for approver in rule.approvers for name in self._asked(approver))
        seats = () if rule.anyone else tuple(self._seats(rule, frozenset(map(person_key, forbidden))))
        return StagePlan(
            name=rule.name,
            asked=tuple(dict.fromkeys((*names, *(stand_in for seat in seats for stand_in in seat.stand_ins)))),
            seats=seats if _can_decide(rule.quorum, seats) else (),
            anyone=rule.anyone,
            quorum=rule.quorum,
            wait=rule.wait,
            then=rule.then,
            escalation=self.stage(rule.escalation) if rule.escalation is not None else None,
            reminders=rule.reminders,
            forbidden=forbidden,
            not_earlier_deciders=rule.not_earlier_deciders,
            comment=rule.comment,
            fields=rule.fields,
        )

    def _forbidden(self, rule: StageRule) -> tuple[str, ...]:
        """The requester first of all, as the directory spells the name if it knows it."""
        requester = self.directory.user_of(self.requester) or self.requester if self.requester is not None else None
        others = (user for one in rule.forbidden for name in self._asked(one) for user in self.directory.members_of(name))
        return tuple(dict.fromkeys((*((requester,) if requester is not None else ()), *others)))

    def _asked(self, approver: Approver) -> Iterator[str]:
        """The name in the directory; of a manager, who that is."""
        name = approver.name
        if name is None and self.requester is not None:
            name = self.directory.superior_of(self.requester, approver.levels_up)
        if name is not None:
            yield name

    def _seats(self, rule: StageRule, forbidden: frozenset[str]) -> Iterator[Seat]:
        """One for each person; nobody can fill the seat of one who is forbidden, so there is none."""
        seen = set(forbidden)
        for approver in rule.approvers:
            for name in self._asked(approver):
                for user in self.directory.members_of(name):
                    if person_key(user) not in seen:
                        seen.add(person_key(user))
                        member_of = name if name not in self.directory.users else None
                        yield Seat(holder=user, member_of=member_of, stand_ins=tuple(self._stand_ins(user, forbidden)))

    def _stand_ins(self, user: str, forbidden: frozenset[str]) -> Iterator[str]:
        """Up to the first who is forbidden: neither that one may decide, nor who stands in for that one."""
        for stand_in in self.directory.stand_ins_of(user, self.now):
            if person_key(stand_in) in forbidden:
                return
            yield stand_in


def _can_decide(quorum: Quorum, seats: tuple[Seat, ...]) -> bool:
    """Whether there are seats enough for a yes; where there are not, waiting for one would be in vain."""
    return quorum.kind is not QuorumKind.NUMBER or len(seats) >= (quorum.of or 1)
