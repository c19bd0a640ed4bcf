"""`sayso policy explain`: the chain of people and dates for one request, and the rule that gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from sayso.cli.event_files import read_input, split_events
from sayso.cli.output import clock, out, print_json, printable, say
from sayso.config_file import did_you_mean
from sayso.contracts.approval_plan import AfterDeadline, ApprovalPlan, CommentRule
from sayso.correlation.bindings import load_bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume, Start
from sayso.errors import ConfigurationError, MalformedError
from sayso.policy.expectations import valid_request
from sayso.policy.loading import DECIDED
from sayso.policy.planning import plan
from sayso.policy.rulebook import Rulebook, load_rulebook
from sayso.policy.rules import Policy
from sayso.policy.schedule import ScheduledStage, people_in_words, quorum_in_words, schedule, wait_in_words
from sayso.settings import Settings, load_settings


@dataclass(frozen=True)
class Asked:
    """A request, and the policy that plans it."""

    request: dict[str, Any]
    policy: Policy


def explain_request(file: str, policy: str | None, workflow: str | None, at: datetime | None, *, as_json: bool) -> None:
    """Explain the first request of the file."""
    settings = load_settings()
    rulebook = load_rulebook(settings)
    now = at or datetime.now(UTC)
    asked = _asked(file, policy, workflow, rulebook, settings)
    found = plan(asked.policy, asked.request, rulebook.directory, now)
    stages = schedule(found, now, rulebook.calendars)
    if as_json:
        print_json(_document(asked, found, stages, now))
        return
    line = next(rule.line for rule in asked.policy.rules if rule.name == found.rule)
    console = out()
    console.print(Text(f"policy   {asked.policy.name}, version {asked.policy.version}"))
    console.print(Text(f"rule     {found.rule} ({asked.policy.place}:{line})"))
    console.print(Text(f"opened   {clock(now)}"))
    for text in _lines(found, stages):
        console.print(Text(text))
    for warning in _warnings(asked, found, stages, rulebook):
        say((warning, "yellow"))


def _asked(file: str, policy: str | None, workflow: str | None, rulebook: Rulebook, settings: Settings) -> Asked:
    text = split_events(read_input(file), file)[0]
    written = json.loads(text)
    if not isinstance(written, dict):
        raise MalformedError(f"{file}: a request is a JSON object")
    if "specversion" in written:
        workflow, request = _of_event(text, file, settings)
        return Asked(request, _policy_for(workflow, policy, rulebook))
    if policy is None and workflow is None:
        raise ConfigurationError(
            f"{file} is no CloudEvent: say whose request it is with --workflow {'|'.join(DECIDED)}, or --policy NAME"
        )
    chosen = _policy_for(workflow, policy, rulebook)
    return Asked(valid_request(chosen.workflow, written, file), chosen)


def _of_event(text: str, file: str, settings: Settings) -> tuple[str, dict[str, Any]]:
    """Workflow and request of an event that opens a case, as the router would read it."""
    bindings = load_bindings(settings.config_dir / "bindings.yaml")
    topic = bindings.home_of(str(json.loads(text).get("type"))) or ""
    verdict = correlate(bindings, topic, text.encode())
    if isinstance(verdict, Rejected):
        raise MalformedError(f"{file}: {verdict.reason}")
    if not isinstance(verdict, Start | Resume) or verdict.request is None:
        raise ConfigurationError(f"{file}: this event opens no case; see: sayso explain {file}")
    return verdict.workflow, verdict.request


def _policy_for(workflow: str | None, policy: str | None, rulebook: Rulebook) -> Policy:
    if policy is not None:
        named = rulebook.policies.named(policy)
        if workflow is not None and named.workflow != workflow:
            raise ConfigurationError(f"the policy {policy} is for {named.workflow}, not for {workflow}")
        return named
    counting = rulebook.policies.in_use
    if workflow not in counting:
        raise ConfigurationError(f'there is no policy for "{workflow}"{did_you_mean(str(workflow), counting)}')
    return counting[str(workflow)]


def _lines(found: ApprovalPlan, stages: tuple[ScheduledStage, ...]) -> Iterator[str]:
    if found.automatic:
        yield "result   approved automatically, nobody is asked"
    if found.wait_in_all is not None:
        yield f"in all   {wait_in_words(found.wait_in_all)}"
    for one in stages:
        yield ""
        yield from _stage_lines(one)


def _stage_lines(one: ScheduledStage) -> Iterator[str]:
    stage = one.stage
    yield f"{one.round}. {stage.name}{' (asked instead)' if one.escalates else ''}"
    yield f"   who       {people_in_words(stage)}"
    if len(stage.seats) > 1:
        yield f"   needs     {quorum_in_words(stage.quorum)}"
    yield f"   until     {clock(one.due_at)} at the latest ({wait_in_words(stage.wait)}), then {_then(stage.then)}"
    if one.reminders:
        yield f"   reminded  {', '.join(clock(at) for at in one.reminders)}"
    if stage.forbidden:
        yield f"   not       {', '.join(map(printable, stage.forbidden))}"
    if stage.comment is not CommentRule.NEVER:
        yield f"   comment   {'with every decision' if stage.comment is CommentRule.ALWAYS else 'with a rejection'}"
    if stage.fields:
        yield f"   again     when {', '.join(stage.fields)} is amended"


def _then(then: AfterDeadline) -> str:
    return {
        AfterDeadline.TIMEOUT: "it times out",
        AfterDeadline.APPROVE: "it counts as approved",
        AfterDeadline.REJECT: "it counts as rejected",
        AfterDeadline.ESCALATE: "others are asked",
    }[then]


def _warnings(asked: Asked, found: ApprovalPlan, stages: tuple[ScheduledStage, ...], rulebook: Rulebook) -> Iterator[str]:
    requester = asked.request.get("requester")
    if requester is not None and rulebook.directory.user_of(str(requester)) is None:
        yield f"{printable(requester)} is not in the directory"
    for one in stages:
        if not one.stage.seats and not one.stage.anyone:
            yield f"nobody may decide on stage {one.stage.name}: it alerts and escalates at once"
    if found.rounds and requester is None:
        yield "the request names no requester, so nobody is kept from deciding on an own request"


def _document(asked: Asked, found: ApprovalPlan, stages: tuple[ScheduledStage, ...], now: datetime) -> dict[str, Any]:
    return {
        "opened_at": now,
        "workflow": asked.policy.workflow,
        "file": asked.policy.place,
        "plan": found.model_dump(mode="json"),
        "stages": [
            {
                "round": one.round,
                "name": one.stage.name,
                "escalates": one.escalates,
                "who": people_in_words(one.stage),
                "opens_at_latest": one.opens_at,
                "due_at_latest": one.due_at,
                "reminders": list(one.reminders),
            }
            for one in stages
        ],
    }
