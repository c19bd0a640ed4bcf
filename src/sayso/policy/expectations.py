"""Tables of requests and expected plans, beside the policies: `config/policies/tests/*.yaml`.

In: such a file and the policies. Out: for each case what differs from what is expected; nothing when it is as expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, Field, ValidationError

from sayso.config_file import ConfigFile, ConfigModel, Location, load_config
from sayso.contracts.approval_plan import AfterDeadline, ApprovalPlan
from sayso.contracts.catalog import WORKFLOWS
from sayso.contracts.payload import explain
from sayso.errors import ConfigurationError, MalformedError
from sayso.policy.planning import plan
from sayso.policy.rulebook import Rulebook
from sayso.policy.rules import Policy
from sayso.policy.schedule import ScheduledStage, schedule


class StageExpected(ConfigModel):
    """What is expected of one stage; what is not written is not looked at."""

    seats: tuple[str, ...] | None = Field(None, description="Who has a seat, in any order.")
    stand_ins: dict[str, tuple[str, ...]] | None = Field(None, description="Who stands in for whom.")
    anyone: bool | None = Field(None, description="Whether anyone may decide.")
    asked: tuple[str, ...] | None = Field(None, description="Whom it asks.")
    quorum: str | None = Field(None, description="any, all, veto, all-responded, `number 2`, `percent 60`.")
    then: AfterDeadline | None = Field(None, description="What it does when nobody has answered.")
    due: AwareDatetime | None = Field(None, description="The latest end of its time, when the case opens at `now`.")
    forbidden: tuple[str, ...] | None = Field(None, description="Who may not decide.")


class PlanExpected(ConfigModel):
    """What is expected of a plan; what is not written is not looked at."""

    rule: str | None = Field(None, description="The rule that gives it.")
    automatic: bool | None = Field(None, description="Whether nobody is asked.")
    chain: tuple[tuple[str, ...], ...] | None = Field(None, description="Names of the stages, round by round.")
    stages: dict[str, StageExpected] = Field({}, description="Stage or escalation: what is expected of it.")


class CaseWritten(ConfigModel):
    """One request and its expected plan."""

    name: str = Field(min_length=1, description="For people.")
    request: dict[str, Any] = Field({}, description="Fields of the request, over those above.")
    now: AwareDatetime | None = Field(None, description="When it is asked.")
    expect: PlanExpected = Field(description="What the plan must be.")


class ExpectationsFile(ConfigModel):
    """The whole file."""

    policy: str = Field(description="The policy that is tested.")
    now: AwareDatetime = Field(datetime(2026, 1, 5, 9, tzinfo=UTC), description="When the requests are asked.")
    request: dict[str, Any] = Field({}, description="Fields of every request.")
    cases: tuple[CaseWritten, ...] = Field(min_length=1, description="Requests and what is expected.")


@dataclass(frozen=True)
class Checked:
    """One case of one file; `differences` is empty when all is as expected."""

    place: str
    policy: str
    name: str
    differences: tuple[str, ...]


def check_expectations(path: Path, rulebook: Rulebook) -> list[Checked]:
    """Every case of the file; `ConfigurationError` when the file itself is wrong."""
    written, file = load_config(path, ExpectationsFile)
    policy = _policy(written, rulebook, file)
    return [_checked(index, case, written, policy, rulebook, file) for index, case in enumerate(written.cases)]


def _policy(written: ExpectationsFile, rulebook: Rulebook, file: ConfigFile) -> Policy:
    try:
        return rulebook.policies.named(written.policy)
    except ConfigurationError as error:
        raise file.error(("policy",), str(error)) from error


def _checked(
    index: int, case: CaseWritten, written: ExpectationsFile, policy: Policy, rulebook: Rulebook, file: ConfigFile
) -> Checked:
    at: Location = ("cases", index)
    request = valid_request(policy.workflow, written.request | case.request, f"{file.path}:{file.line((*at, 'request'))}")
    now = case.now or written.now
    try:
        differences = tuple(_differences(case.expect, plan(policy, request, rulebook.directory, now), now, rulebook))
    except MalformedError as error:
        differences = (str(error),)
    return Checked(f"{file.path}:{file.line(at)}", policy.name, case.name, differences)


def valid_request(workflow: str, request: dict[str, Any], name: str) -> dict[str, Any]:
    """The request as the ledger would keep it; `MalformedError` begins with `name`."""
    try:
        return WORKFLOWS[workflow].request.model_validate(request).model_dump(mode="json")
    except ValidationError as error:
        raise MalformedError(f"{name}: a request of {workflow}: {explain(error)}") from error


def _differences(expected: PlanExpected, found: ApprovalPlan, now: datetime, rulebook: Rulebook) -> Iterator[str]:
    names = tuple(tuple(stage.name for stage in stages) for stages in found.rounds)
    for what, wanted, is_ in (
        ("rule", expected.rule, found.rule),
        ("automatic", expected.automatic, found.automatic),
        ("chain", expected.chain, names),
    ):
        if wanted is not None and wanted != is_:
            yield f"{what} is {_said(is_)}, expected {_said(wanted)}"
    stages = {one.stage.name: one for one in schedule(found, now, rulebook.calendars)}
    for name, stage in expected.stages.items():
        if name not in stages:
            yield f"there is no stage {name}, only {_said(tuple(stages))}"
        else:
            yield from _of_stage(name, stage, _facts(stages[name]))


def _facts(one: ScheduledStage) -> dict[str, Any]:
    stage = one.stage
    return {
        "seats": tuple(sorted(seat.holder for seat in stage.seats)),
        "stand_ins": {seat.holder: seat.stand_ins for seat in stage.seats if seat.stand_ins},
        "anyone": stage.anyone,
        "asked": stage.asked,
        "quorum": " ".join(str(part) for part in (stage.quorum.kind, stage.quorum.of) if part is not None),
        "then": stage.then,
        "due": one.due_at,
        "forbidden": tuple(sorted(stage.forbidden)),
    }


def _of_stage(name: str, expected: StageExpected, facts: dict[str, Any]) -> Iterator[str]:
    for field in StageExpected.model_fields:
        wanted = getattr(expected, field)
        wanted = tuple(sorted(wanted)) if field in ("seats", "forbidden") and wanted is not None else wanted
        if wanted is not None and wanted != facts[field]:
            yield f"stage {name}: {field} is {_said(facts[field])}, expected {_said(wanted)}"


def _said(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, tuple):
        return f"[{', '.join(_said(one) for one in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
