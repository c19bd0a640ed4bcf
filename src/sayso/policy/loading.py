"""Policies from `config/policies/*.yaml`: read, checked and compiled at load; and which of them counts for which workflow.

In: the folder, the settings, the directory, the calendars. Out: `Policies`. Invariant: a policy has an answer for every request that
its workflow takes: its last rule has no `when`. What is wrong stops the start with file, line and a hint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from sayso.config_file import ConfigFile, Location, did_you_mean, load_config
from sayso.contracts.catalog import DECISION_EVENTS, WORKFLOWS
from sayso.contracts.payload import Payload
from sayso.directory import Directory
from sayso.errors import ConfigurationError, MalformedError
from sayso.policy.calendars import Calendars
from sayso.policy.conditions import Condition, Vocabulary, view_of
from sayso.policy.rules import Policies, Policy, Rule
from sayso.policy.stage_loading import StageReader
from sayso.policy.waits import Waits, numbers_of
from sayso.policy.written import PolicyFile, RuleWritten
from sayso.settings import Settings

DECIDED = tuple(name for name, contract in WORKFLOWS.items() if not contract.events.keys().isdisjoint(DECISION_EVENTS))
"""The workflows that wait for decisions."""


def load_policies(folder: Path, settings: Settings, directory: Directory, calendars: Calendars) -> Policies:
    """All policies of the folder; none when there is no folder."""
    wrong = sorted(folder.glob("*.yml"))
    if wrong:
        raise ConfigurationError(f"{wrong[0]}: it is not read; call it {wrong[0].stem}.yaml")
    loaded = [load_policy(path, settings, directory, calendars) for path in sorted(folder.glob("*.yaml"))]
    by_name: dict[str, Policy] = {}
    for policy in loaded:
        if policy.name in by_name:
            raise ConfigurationError(f'{policy.place}:1: the name "{policy.name}" is taken by {by_name[policy.name].place}')
        by_name[policy.name] = policy
    return Policies(MappingProxyType(by_name), MappingProxyType(_in_use(by_name, settings.policies.use)))


def _in_use(by_name: Mapping[str, Policy], chosen: Mapping[str, str]) -> dict[str, Policy]:
    in_use: dict[str, Policy] = {}
    for policy in by_name.values():
        if policy.variant or policy.workflow in chosen:
            continue
        if policy.workflow in in_use:
            other = in_use[policy.workflow]
            hint = f"mark one of them `variant: true`, or choose: policies.use: {{{policy.workflow}: {policy.name}}}"
            raise ConfigurationError(f"{policy.place}:1: {other.place} is for {policy.workflow} too; {hint}")
        in_use[policy.workflow] = policy
    for workflow, name in chosen.items():
        if workflow not in DECIDED:
            raise ConfigurationError(
                f'settings, policies.use: no decisions are awaited by "{workflow}"{did_you_mean(workflow, DECIDED)}'
            )
        known = {policy.name: policy for policy in by_name.values() if policy.workflow == workflow}
        if name not in known:
            raise ConfigurationError(f'settings, policies.use: no policy "{name}" for {workflow}{did_you_mean(name, known)}')
        in_use[workflow] = known[name]
    return in_use


def load_policy(path: Path, settings: Settings, directory: Directory, calendars: Calendars) -> Policy:
    """One file, or `ConfigurationError` with its line."""
    written, file = load_config(path, PolicyFile)
    if written.workflow not in DECIDED:
        raise file.error(("workflow",), f'no decisions are awaited by "{written.workflow}"{did_you_mean(written.workflow, DECIDED)}')
    model = WORKFLOWS[written.workflow].request
    numbers = numbers_of(written.numbers, settings, file)
    plain = {name: value for name, value in numbers.items() if isinstance(value, Decimal)}
    words = Vocabulary.of(model, plain)
    calendar = written.calendar or (next(iter(calendars)) if len(calendars) == 1 else None)
    waits = Waits(file, numbers, frozenset(calendars), calendar, settings.policies.time_scale)
    stages = StageReader(file, directory, waits, model.model_fields, settings.approvers_only)
    rules = tuple(_rule(rule, words, waits, stages, file, ("rules", index)) for index, rule in enumerate(written.rules))
    _refuse_gaps(written.rules, file)
    policy = Policy(
        name=written.name,
        version=written.version,
        workflow=written.workflow,
        description=written.description,
        variant=written.variant,
        place=str(path),
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        numbers=MappingProxyType({name: float(value) for name, value in plain.items()}),
        words=words,
        rules=rules,
    )
    _try_out(policy, model, directory, file)
    return policy


def _rule(written: RuleWritten, words: Vocabulary, waits: Waits, stages: StageReader, file: ConfigFile, at: Location) -> Rule:
    if (written.approve is None) is (written.stages is None or not written.stages):
        raise file.error(at, f'rule "{written.name}": write either `approve: automatically` or `stages:`')
    if written.approve is not None and written.deadline_in_all is not None:
        raise file.error((*at, "deadline_in_all"), "nobody is asked, so nothing waits; remove it")
    in_all = written.deadline_in_all
    return Rule(
        name=written.name,
        when=_condition(written.when, words, file, (*at, "when")),
        automatic=written.approve is not None,
        rounds=stages.rounds(written.stages or (), (*at, "stages")),
        wait_in_all=waits.wait(in_all, (*at, "deadline_in_all")) if in_all is not None else None,
        line=file.line(at),
    )


def _condition(text: str | None, words: Vocabulary, file: ConfigFile, at: Location) -> Condition | None:
    try:
        return Condition(text, words) if text is not None else None
    except ValueError as error:
        raise file.error(at, f"`{text}`: {error}") from error


def _refuse_gaps(rules: tuple[RuleWritten, ...], file: ConfigFile) -> None:
    """Exactly the last rule has no condition, and each has its own name."""
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.name in seen:
            first = file.line(("rules", seen[rule.name]))
            raise file.error(("rules", index, "name"), f'the name "{rule.name}" is taken by the rule at line {first}')
        seen[rule.name] = index
        last = index == len(rules) - 1
        if rule.when is None and not last:
            raise file.error(("rules", index), f'rule "{rule.name}" has no `when`, so the rules behind it are never asked')
        if rule.when is not None and last:
            raise file.error(("rules", index, "when"), "the last rule has no `when`: it is for all that the others leave")


def _try_out(policy: Policy, model: type[Payload], directory: Directory, file: ConfigFile) -> None:
    """Ask every condition about some made-up requests: what compares text with numbers shows now, not with the first real one."""
    for request, requester in _examples(model, next(iter(directory.users))):
        view = view_of(request, requester, directory, policy.numbers, policy.words)
        for index, rule in enumerate(policy.rules):
            try:
                if rule.when is not None:
                    rule.when.holds(view)
            except MalformedError as error:
                raise file.error(("rules", index, "when"), str(error)) from error


def _examples(model: type[Payload], user: str) -> Iterator[tuple[dict[str, Any], str | None]]:
    fields = model.model_fields
    yield (
        {name: _example(field.annotation, "0") for name, field in fields.items() if type(None) not in get_args(field.annotation)},
        None,
    )
    yield {name: _example(field.annotation, "1") for name, field in fields.items()}, "nobody"
    yield {name: _example(field.annotation, "1000000000000") for name, field in fields.items()}, user


def _example(annotation: Any, amount: str) -> Any:
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and kind is not type(None)]
    kind = kinds[0] if kinds else str
    if issubclass(kind, Enum):
        return next(iter(kind)).value
    return amount if kind is Decimal else 1 if kind in (int, float) else kind is bool or "1"
