"""Bindings: which event does what to which case. `config/bindings.yaml`, loaded once and compiled at load.

In: the file. Out: `Bindings`, whose `match` gives the one rule for an event. Invariant: exactly one binding for an event; two
rules that could both take it without a `when` to tell them apart stop the start.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field

from sayso.config_file import ConfigFile, ConfigModel, Location, did_you_mean, load_config
from sayso.contracts.catalog import CHANGE_EVENT, DECISION_EVENTS, WITHDRAW_EVENT, WORKFLOWS, WorkflowContract
from sayso.contracts.cloudevent import IncomingEvent
from sayso.contracts.payload import Payload
from sayso.correlation.expressions import Expression, view_of
from sayso.correlation.treatment import Treatment, early_of, on_late_of, refuse_shipped_slips
from sayso.errors import MalformedError

DAPR_DEAD_LETTERS = "dapr-deadletters"
"""What daprd gives up goes there, and is taken into the ledger from there, so that nothing ends where nobody looks."""
ACTIONS = ("start", "resume", "start_or_resume", "withdraw", "amend", "delegate", "record")
CHANGES = {"withdraw": "withdrawn", "amend": "amended", "delegate": "delegated"}
"""Verbs that change a request, and what is done to it then."""


class BindingRule(ConfigModel):
    """One entry of `bindings.yaml`, as written."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Unique name; shown wherever the rule decided something.")
    topic: str = Field(min_length=1, description="The topic that the event comes from.")
    type: str = Field(min_length=1, description="The CloudEvent type.")
    when: str | None = Field(None, description="CEL: take the event only if this is true.")
    key: str | None = Field(None, description="CEL: the business key, text or a whole number. Not for `record`.")
    start: str | None = Field(None, description="Start this workflow.")
    resume: str | None = Field(None, description="WORKFLOW.EVENT: wake the open case of this workflow with this event.")
    start_or_resume: str | None = Field(
        None, description="WORKFLOW.EVENT: wake the open case with this event; if there is none, open it with the same event first."
    )
    withdraw: str | None = Field(None, description="WORKFLOW: its requester takes the request back.")
    amend: str | None = Field(None, description="WORKFLOW: its requester changes the request while it waits for its approval.")
    delegate: str | None = Field(None, description="WORKFLOW: who is asked lets somebody else decide too.")
    record: bool | None = Field(None, description="Only keep the event.")
    input: dict[str, str] | None = Field(
        None, description="CEL by field: the workflow's request, when the event's data has another shape."
    )
    payload: dict[str, str] | None = Field(
        None, description="CEL by field: what the workflow is woken with, when the event's data has another shape."
    )
    early: str | None = Field(
        None, description="`hold DURATION` (ISO 8601): how long the event waits for its case; or `dead-letter`: it does not wait."
    )
    on_late: str | None = Field(
        None, description="`publish TYPE to TOPIC`: what to answer to an event whose case has ended or never came; or `dead-letter`."
    )
    on_duplicate: Literal["ignore", "alarm"] | None = Field(None, description="`alarm`: an alert when the event comes once more.")
    on_restart: Literal["refuse", "new_generation"] | None = Field(
        None, description="`new_generation`: a new request for an ended case opens another case."
    )
    signature: Literal["required", "none"] | None = Field(
        None, description="`required`: only with the signature of a sender of `senders.yaml`; decisions need one unless it is `none`."
    )


class BindingsFile(ConfigModel):
    """The whole file."""

    bindings: list[BindingRule] = Field(min_length=1)


class Action(StrEnum):
    """What a binding does with an event."""

    START = "start"
    RESUME = "resume"
    START_OR_RESUME = "start_or_resume"
    RECORD = "record"


STARTS = (Action.START, Action.START_OR_RESUME)


@dataclass(frozen=True)
class Binding:
    """One compiled rule. `workflow` and `event_name` are empty where the action needs none."""

    name: str
    topic: str
    type: str
    action: Action
    workflow: str
    event_name: str
    when: Expression | None
    key: Expression | None
    input: dict[str, Expression] | None
    payload: dict[str, Expression] | None
    treatment: Treatment
    change: str | None = None
    """Of an event that changes a request: `withdraw`, `amend` or `delegate`, which its data do not say."""

    @property
    def does(self) -> str:
        """The action in words: `resume purchase_order_workflow.approval_received`."""
        target = ".".join(part for part in (self.workflow, self.event_name) if part)
        return f"{self.action} {target}".strip()


@dataclass(frozen=True)
class Bindings:
    """All rules, by topic and type. `digest` is that of the file's bytes."""

    rules: tuple[Binding, ...]
    digest: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that has a rule, in the file's order: the subscriptions."""
        return tuple(dict.fromkeys(rule.topic for rule in self.rules))

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topics that daprd is asked for: those with rules, and the one where it puts what it could not deliver."""
        return (*self.topics, DAPR_DEAD_LETTERS)

    @property
    def needs_signatures(self) -> bool:
        """Whether any rule takes only what is signed."""
        return any(rule.treatment.signed_on is not None for rule in self.rules)

    @property
    def answer_topics(self) -> frozenset[str]:
        """The topics of the events that `on_late` publishes."""
        return frozenset(rule.treatment.on_late.topic for rule in self.rules if rule.treatment.on_late is not None)

    def match(self, topic: str, event: IncomingEvent) -> list[Binding]:
        """The rules that take this event: one, none, or more than one (which nobody may guess between)."""
        candidates = [rule for rule in self.rules if rule.topic == topic and rule.type == event.type]
        if len(candidates) == 1 and candidates[0].when is None:
            return candidates
        view = view_of(event)
        matching, complaints = [], []
        for rule in candidates:
            try:
                if rule.when is None or rule.when.evaluate(view) is True:
                    matching.append(rule)
            except MalformedError as error:
                complaints.append(error)
        if complaints and not matching:
            raise complaints[0]
        return matching

    def home_of(self, event_type: str) -> str | None:
        """The one topic whose rules know this type, for an event that came by Dapr's dead letters."""
        topics = {rule.topic for rule in self.rules if rule.type == event_type}
        return topics.pop() if len(topics) == 1 else None

    def rules_for(self, workflow: str, event_name: str) -> tuple[Binding, ...]:
        """The rules by which an event of this name is raised to the workflow."""
        return tuple(rule for rule in self.rules if (rule.workflow, rule.event_name) == (workflow, event_name))

    def types_on(self, topic: str) -> set[str]:
        """The event types that have a rule on this topic."""
        return {rule.type for rule in self.rules if rule.topic == topic}


def digest_of(path: Path) -> str:
    """SHA-256 of the file: tells whether it is still the one that was loaded."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_bindings(path: Path) -> Bindings:
    """Read, check and compile the file, or raise `ConfigurationError` with file, line and the nearest valid word."""
    written, file = load_config(path, BindingsFile)
    rules = []
    for index, rule in enumerate(written.bindings):
        rules.append(_compile(rule, file, ("bindings", index)))
    _refuse_double_names(written.bindings, file)
    _refuse_overlaps(rules, file)
    _refuse_names_that_differ_by_case(rules, file)
    _refuse_answers_to_ourselves(rules, file)
    return Bindings(tuple(rules), digest_of(path))


def _compile(rule: BindingRule, file: ConfigFile, at: Location) -> Binding:
    action, target, event_name = _action_of(rule, file, at)
    contract = WORKFLOWS.get(target)
    if action is not Action.RECORD and rule.key is None:
        raise file.error(at, f'binding "{rule.name}": `key` is missing (CEL, for example event.data.order_id)')
    _refuse_fields_without_effect(rule, action, file, at)
    if rule.topic == DAPR_DEAD_LETTERS:
        raise file.error((*at, "topic"), f'"{rule.topic}" is read in any case: an event there is taken by the rules of its own topic')
    refuse_shipped_slips(rule.topic, rule.type, file, at)
    return Binding(
        name=rule.name,
        topic=rule.topic,
        type=rule.type,
        action=action,
        workflow=target,
        event_name=event_name,
        when=_boolean(rule.when, file, (*at, "when")),
        key=_key(rule.key, file, (*at, "key")),
        input=_mapping_of(rule.input, target, contract.request if contract else None, file, (*at, "input")),
        payload=_mapping_of(rule.payload, event_name, contract.events.get(event_name) if contract else None, file, (*at, "payload")),
        treatment=_treatment_of(rule, contract, event_name, file, at),
        change=next((verb for verb in CHANGES if getattr(rule, verb) is not None), None) if event_name == CHANGE_EVENT else None,
    )


def _action_of(rule: BindingRule, file: ConfigFile, at: Location) -> tuple[Action, str, str]:
    given = [name for name in ACTIONS if getattr(rule, name) not in (None, False)]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "has none"
        raise file.error(at, f'binding "{rule.name}" {what}; it needs exactly one of {", ".join(ACTIONS)}')
    if given == ["record"]:
        return Action.RECORD, "", ""
    verb = given[0]
    target, _, event_name = str(getattr(rule, verb)).partition(".")
    if target not in WORKFLOWS:
        raise file.error((*at, verb), f'no workflow "{target}"{did_you_mean(target, WORKFLOWS)}')
    names_event = verb in ("resume", "start_or_resume")
    if event_name and not names_event:
        raise file.error((*at, verb), f'`{verb}` takes a workflow alone: write "{target}", not "{target}.{event_name}"')
    if verb == "start":
        return Action.START, target, ""
    valid = WORKFLOWS[target].events
    if verb in CHANGES:
        event_name = WITHDRAW_EVENT if verb == "withdraw" and WITHDRAW_EVENT in valid else CHANGE_EVENT
    if not event_name:
        raise file.error((*at, verb), f"`{verb}` also needs the event's name: {', '.join(f'{target}.{name}' for name in valid)}")
    if event_name not in valid and verb in CHANGES:
        able = ", ".join(name for name, contract in WORKFLOWS.items() if CHANGE_EVENT in contract.events)
        raise file.error((*at, verb), f"requests of {target} cannot be {CHANGES[verb]}, for nobody approves them; those of {able} can")
    if event_name not in valid:
        raise file.error((*at, verb), f'{target} does not wait for "{event_name}"{did_you_mean(event_name, valid)}')
    return Action.START_OR_RESUME if verb == "start_or_resume" else Action.RESUME, target, event_name


def _refuse_fields_without_effect(rule: BindingRule, action: Action, file: ConfigFile, at: Location) -> None:
    """A field that its action ignores must not look as if it did something."""
    for field, value, belongs in (
        ("input", rule.input, action in STARTS),
        ("payload", rule.payload, action in (Action.RESUME, Action.START_OR_RESUME)),
        ("early", rule.early, action is Action.RESUME),
        ("on_late", rule.on_late, action in (Action.RESUME, Action.START_OR_RESUME)),
        ("on_restart", rule.on_restart, action in STARTS),
        ("key", rule.key, action is not Action.RECORD),
    ):
        if value is not None and not belongs:
            raise file.error((*at, field), f'binding "{rule.name}": `{field}` has no effect on `{action}`; remove it')


def _expression(text: str | None, file: ConfigFile, at: Location) -> Expression | None:
    if text is None:
        return None
    try:
        return Expression(text)
    except ValueError as error:
        raise file.error(at, f"`{text}`: {error}") from error


def _key(text: str | None, file: ConfigFile, at: Location) -> Expression | None:
    expression = _expression(text, file, at)
    if expression is not None and not expression.returns_key():
        raise file.error(at, f"`{text}` is not a key: it must be text or a whole number")
    return expression


def _boolean(text: str | None, file: ConfigFile, at: Location) -> Expression | None:
    expression = _expression(text, file, at)
    if expression is not None and not expression.returns_boolean():
        raise file.error(at, f"`{text}` is not a condition: it must be true or false")
    return expression


def _mapping_of(
    written: dict[str, str] | None, target: str, model: type[Payload] | None, file: ConfigFile, at: Location
) -> dict[str, Expression] | None:
    """`input` or `payload`: an expression for each required field of the model, and for any other."""
    if written is None or model is None:
        return None
    fields = model.model_fields
    compiled = {}
    for name, text in written.items():
        if name not in fields:
            raise file.error((*at, name), f'{target} has no {at[-1]} "{name}"{did_you_mean(name, fields)}')
        expression = _expression(text, file, (*at, name))
        if expression is not None:
            compiled[name] = expression
    missing = [name for name, field in fields.items() if field.is_required() and name not in compiled]
    if missing:
        raise file.error(at, f"{target} also needs {', '.join(missing)}")
    return compiled


def _treatment_of(rule: BindingRule, contract: WorkflowContract | None, event_name: str, file: ConfigFile, at: Location) -> Treatment:
    holds_early, hold = early_of(rule.early, file, at)
    return Treatment(
        holds_early=holds_early,
        hold=hold,
        on_late=on_late_of(rule.on_late, contract.events.get(event_name) if contract else None, file, at),
        alarms_on_duplicate=rule.on_duplicate == "alarm",
        restarts=rule.on_restart == "new_generation",
        signed_on=rule.topic if _needs_signature(rule, event_name) else None,
    )


def _needs_signature(rule: BindingRule, event_name: str) -> bool:
    """A decision does, and who may decide instead, unless the binding says otherwise; other events only if it says so."""
    return rule.signature == "required" if rule.signature is not None else event_name in DECISION_EVENTS or rule.delegate is not None


def _refuse_double_names(rules: list[BindingRule], file: ConfigFile) -> None:
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.name in seen:
            first = file.line(("bindings", seen[rule.name]))
            raise file.error(("bindings", index, "name"), f'the name "{rule.name}" is taken by the binding at line {first}')
        seen[rule.name] = index


def _refuse_overlaps(rules: list[Binding], file: ConfigFile) -> None:
    for index, rule in enumerate(rules):
        for earlier in rules[:index]:
            same = (earlier.topic, earlier.type) == (rule.topic, rule.type)
            apart = rule.when is not None and earlier.when is not None and rule.when.text != earlier.when.text
            if same and not apart:
                raise file.error(
                    ("bindings", index),
                    f'bindings "{earlier.name}" and "{rule.name}" both take {rule.type} on {rule.topic}; '
                    "an event has exactly one binding: give each a `when` that tells them apart",
                )


def _refuse_names_that_differ_by_case(rules: list[Binding], file: ConfigFile) -> None:
    """Dapr's event names ignore case: two that differ only by case would wake the same wait."""
    seen: dict[tuple[str, str], str] = {}
    for index, rule in enumerate(rules):
        name = seen.setdefault((rule.workflow, rule.event_name.lower()), rule.event_name)
        if name != rule.event_name:
            raise file.error(("bindings", index), f'"{rule.event_name}" and "{name}" differ only by case; Dapr ignores case')


def _refuse_answers_to_ourselves(rules: list[Binding], file: ConfigFile) -> None:
    """What is published because an event came too late must not come back as one."""
    read = {rule.topic for rule in rules}
    for index, rule in enumerate(rules):
        answer = rule.treatment.on_late
        if answer is not None and answer.topic in read:
            raise file.error(("bindings", index, "on_late"), f'a binding reads "{answer.topic}": publishing to it would be a loop')
