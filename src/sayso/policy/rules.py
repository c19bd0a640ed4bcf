"""A policy, compiled: what `plan` works with. Made by `loading`; immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sayso.config_file import did_you_mean
from sayso.contracts.approval_plan import AfterDeadline, CommentRule, Quorum, Wait
from sayso.errors import ConfigurationError
from sayso.policy.conditions import Condition, Vocabulary


@dataclass(frozen=True)
class Approver:
    """A name of the directory (user, group or role), or so many levels above the requester."""

    name: str | None
    levels_up: int = 0


@dataclass(frozen=True)
class StageRule:
    """One question: who, how many, until when, what then."""

    name: str
    approvers: tuple[Approver, ...]
    anyone: bool
    quorum: Quorum
    wait: Wait
    then: AfterDeadline
    escalation: StageRule | None
    reminders: tuple[Wait, ...]
    forbidden: tuple[Approver, ...]
    not_earlier_deciders: bool
    comment: CommentRule
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """For which requests, and what it gives. `when` is None in the last rule alone."""

    name: str
    when: Condition | None
    automatic: bool
    rounds: tuple[tuple[StageRule, ...], ...]
    wait_in_all: Wait | None
    line: int


@dataclass(frozen=True)
class Policy:
    """One file. `digest` is the SHA-256 of its bytes; `numbers` are those of its numbers that are no waits."""

    name: str
    version: str
    workflow: str
    description: str
    variant: bool
    place: str
    digest: str
    numbers: Mapping[str, float]
    words: Vocabulary
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Policies:
    """All policies of the folder, by name, and which one counts for which workflow."""

    by_name: Mapping[str, Policy]
    in_use: Mapping[str, Policy]

    def named(self, name: str) -> Policy:
        """The policy of this name; `ConfigurationError` names those that there are."""
        if name not in self.by_name:
            raise ConfigurationError(f'there is no policy "{name}"{did_you_mean(name, self.by_name)}')
        return self.by_name[name]
