"""A policy file as written: `config/policies/*.yaml`. Shapes only; `loading` says what else must hold.

In: YAML. Out: frozen models. One approver or one quorum may be written without the list or the mapping around it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from sayso.config_file import ConfigModel
from sayso.contracts.approval_plan import AfterDeadline, CommentRule, QuorumKind

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Version = Annotated[str, BeforeValidator(lambda version: str(version) if isinstance(version, int | float) else version)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _quorum(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _number(value: Any) -> Any:
    return value if isinstance(value, dict) else {"value": value}


class ApproverWritten(ConfigModel):
    """Who may decide, in one of these ways."""

    user: str | None = Field(None, description="One user.")
    group: str | None = Field(None, description="Every member of the group has a seat.")
    role: str | None = Field(None, description="Everybody who has the role has a seat.")
    manager_of: Literal["requester"] | None = Field(None, description="The manager of who asked.")
    levels_up: int | None = Field(None, ge=1, le=20, description="With manager_of: 2 is the manager's manager.")
    anyone: Literal[True] | None = Field(None, description="Whoever is not forbidden; the others are asked.")


class QuorumWritten(ConfigModel):
    """How the seats make one answer."""

    kind: QuorumKind | None = Field(None, description="any, all, veto or all-responded.")
    number: int | None = Field(None, ge=1, description="So many approvals.")
    percent: int | None = Field(None, ge=1, le=100, description="So many of a hundred seats, rounded up.")


class EscalationWritten(ConfigModel):
    """Who is asked instead when the time is over."""

    name: Name | None = Field(None, description="Unique in the rule; by default that of the stage and `_escalated`.")
    approvers: Annotated[tuple[ApproverWritten, ...], BeforeValidator(_listed)] = Field(min_length=1, description="Who may decide.")
    quorum: Annotated[QuorumWritten, BeforeValidator(_quorum)] = Field(QuorumWritten(), description="How the seats make one answer.")
    deadline: str = Field(description="PT24H, P3D, `8 working hours`, `2 working days of office`, or `numbers.NAME`.")
    then: AfterDeadline | None = Field(None, description="What an unanswered stage does.")
    escalate: EscalationWritten | None = Field(None, description="Who is asked instead.")
    reminders: tuple[str, ...] = Field((), description="How long after its opening.")
    comment: CommentRule = Field(CommentRule.NEVER, description="When a decision needs words.")


class StageWritten(ConfigModel):
    """One question to some people, or several at the same time (`parallel`)."""

    parallel: tuple[StageWritten, ...] | None = Field(None, description="Stages that are asked at the same time; all have to approve.")
    name: Name | None = Field(None, description="Unique in the rule.")
    approvers: Annotated[tuple[ApproverWritten, ...], BeforeValidator(_listed)] = Field((), description="Who may decide.")
    quorum: Annotated[QuorumWritten, BeforeValidator(_quorum)] = Field(QuorumWritten(), description="How the seats make one answer.")
    deadline: str | None = Field(None, description="PT24H, P3D, `8 working hours`, `2 working days of office`, or `numbers.NAME`.")
    then: AfterDeadline | None = Field(None, description="What an unanswered stage does.")
    escalate: EscalationWritten | None = Field(None, description="Who is asked instead when the time is over.")
    reminders: tuple[str, ...] = Field((), description="How long after its opening.")
    forbidden: Annotated[tuple[ApproverWritten, ...], BeforeValidator(_listed)] = Field((), description="Who may not decide.")
    earlier_deciders: Literal["forbidden", "allowed"] = Field("forbidden", description="Who has decided on an earlier stage.")
    comment: CommentRule = Field(CommentRule.NEVER, description="When a decision needs words.")
    fields: tuple[str, ...] = Field((), description="Fields of the request that it depends on; when one is amended it is asked again.")


class RuleWritten(ConfigModel):
    """One rule: for which requests, and what it gives."""

    name: Name = Field(description="Unique in the policy; it is shown wherever the rule decided something.")
    when: str | None = Field(None, description="CEL over request, requester and numbers. The last rule has none.")
    approve: Literal["automatically"] | None = Field(None, description="Nobody is asked.")
    stages: tuple[StageWritten, ...] | None = Field(None, description="Who is asked, one after the other.")
    deadline_in_all: str | None = Field(None, description="From the opening of the case, over all stages; then it times out.")


class NumberWritten(ConfigModel):
    """A number or a wait with a name, and the setting that overrides it."""

    value: Decimal | str = Field(union_mode="left_to_right", description="A number for `when`, or a wait.")
    setting: str | None = Field(None, description="GROUP.NAME of a setting, whose value counts where it differs from its default.")


class PolicyFile(ConfigModel):
    """The whole file."""

    name: Name = Field(description="Unique over all policies.")
    version: Version = Field(min_length=1, description="Kept with every case that it plans.")
    workflow: str = Field(description="The workflow whose requests it plans.")
    description: str = Field("", description="For people.")
    variant: bool = Field(False, description="Counts only where the setting policies.use names it.")
    calendar: str | None = Field(None, description="Calendar of working hours and days that name none.")
    numbers: dict[str, Annotated[NumberWritten, BeforeValidator(_number)]] = Field({}, description="Numbers and waits with a name.")
    rules: tuple[RuleWritten, ...] = Field(min_length=1, description="The first whose `when` is true counts.")
