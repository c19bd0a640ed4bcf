"""A person and roles.

In: an id, and roles from claims or from the directory. Out: a `Person`. A role is a right of the API; whether somebody may decide a
case is never asked here: that is the decision gate's, at delivery.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sayso.contracts.payload import person_key
from sayso.directory import Directory
from sayso_gateway.problems import ProblemError


class Role(StrEnum):
    """What the API lets somebody do."""

    REQUESTER = "requester"  # ask for something, and follow one's own requests
    APPROVER = "approver"  # see tasks and cases, decide
    OPERATOR = "operator"  # send events, see everything
    AUDITOR = "auditor"  # see everything


SEES_ALL = (Role.APPROVER, Role.OPERATOR, Role.AUDITOR)


@dataclass(frozen=True)
class Person:
    """Somebody who has shown who it is."""

    id: str
    roles: frozenset[Role]
    how: str

    def demand(self, *roles: Role) -> None:
        """One of these roles, or 403."""
        if not self.roles & set(roles):
            raise ProblemError(
                403, f"this needs the role {' or '.join(roles)}; {self.id} has {', '.join(sorted(self.roles)) or 'none'}"
            )

    def is_(self, other: object) -> bool:
        """Whether this is the same person, however spelt."""
        return isinstance(other, str) and person_key(other) == person_key(self.id)


def roles_of(directory: Directory, user: str, claimed: Iterable[object] | None) -> frozenset[Role]:
    """The roles that the claims name; without that claim, those that the directory gives (`roles: {operator: [bob]}`).

    Whoever the directory knows may ask, and whoever is in a group that could be asked may decide.
    """
    if claimed is not None:
        return frozenset(role for role in Role if role in set(map(str, claimed)))
    known = next((name for name in directory.users if person_key(name) == person_key(user)), None)
    if known is None:
        return frozenset()
    names = directory.names_of(known)
    roles = {Role(name) for name in names if name in set(Role)} | {Role.REQUESTER}
    if any(name in directory.groups for name in names):
        roles.add(Role.APPROVER)
    return frozenset(roles)
