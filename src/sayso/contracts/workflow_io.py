"""What passes between the ledger and a workflow: its input, the events raised to it, and what its steps record.

All of it is plain JSON, because the engine keeps it in the instance's history. `CaseInput` is a snapshot: settings that change
later do not touch a case that is open.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from sayso.contracts.approval_plan import ApprovalPlan
from sayso.contracts.approval_state import ApprovalState
from sayso.contracts.cases import Outcome
from sayso.contracts.money import Amount
from sayso.contracts.snapshot import Snapshot as Snapshot  # noqa: PLC0414 - most of its kin are here

DEPTH_MAX = 64
"""Levels of what is raised past the ledger; no contract needs more than two, and writing very many fails the case."""

ANSWERS_TO = "answers_to"
"""Field of an activity's answer: the call that it answers (`call_of`)."""


def call_of(activity: str, iteration: int = 0) -> str:
    """A call by its name: `process_work_item/7`. The first call of an activity has the activity's own."""
    return f"{activity}/{iteration}" if iteration else activity


class CaseRef(Snapshot):
    """Which case this is; `instance_id` is its Dapr workflow instance."""

    workflow: str
    key: str
    generation: int
    instance_id: str
    opened_at: datetime
    effects_of: str | None = None
    """Of a rerun: the case whose idempotency keys it goes on with."""

    @property
    def matter(self) -> str:
        """What services know this case by: the same for a case and its reruns."""
        return self.effects_of or self.instance_id

    @model_serializer(mode="wrap")
    def _leave_out(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A worker of an earlier version does not know the newer fields."""
        return {name: value for name, value in write(self).items() if value is not None}


class Retries(Snapshot):
    """How often and how long something is tried that may fail for good: `attempts` in all, the pauses growing by `coefficient`."""

    first_interval_seconds: float
    coefficient: float
    interval_max_seconds: float
    attempts: int


class MonitorPlan(Snapshot):
    """What the settings say of a monitor: where it may look, how long, how often, and when it tells. `critical_after` 0: never."""

    target_template: str
    allowed_targets: list[str]
    timeout_seconds: float
    healthy_interval_seconds: float
    unhealthy_interval_seconds: float
    critical_after: int = 0
    repeat_after_seconds: float = 0
    recovery_notice: bool = False


class Plan(Snapshot):
    """What the settings say for this one case, taken when it was opened. Who asks nobody has no time for an approval."""

    auto_approve_below: Amount | None = None
    approver_group: str = "managers"
    approval_timeout_seconds: float = 0
    payment_timeout_seconds: float | None = None
    accept_raw_raise: bool = False
    approvers_only: bool = False
    retries: Retries | None = None
    undo_retries: Retries | None = None
    items_at_once: int = 5
    round_items: int = 50
    monitor: Annotated[MonitorPlan | None, Field(exclude_if=lambda monitor: monitor is None)] = None
    approval: Annotated[ApprovalPlan | None, Field(exclude_if=lambda plan: plan is None)] = None
    """What the policy answers for the request; None: one stage, as the fields above say."""
    approval_begun: Annotated[ApprovalState | None, Field(exclude_if=lambda state: state is None)] = None
    """Where that approval stands when the case is opened, with the times of its first stages."""


class TakeInput(Snapshot):
    """The input of `take_case`: an instance that was started through Dapr's own API, and the request that it was given."""

    workflow: str
    instance_id: str
    request: Any = None


class RaisedEvent(Snapshot):
    """What `raise_workflow_event` carries: the event's identity first, because a workflow uses an event at most once."""

    seq: Annotated[int, Field(ge=1, le=2**63 - 1)] | None
    identity: str
    name: str
    received_at: AwareDatetime | None
    data: dict[str, Any]
    channel: str = "topic"
    entitled: bool | None = None
    """Whether the approver was a member of the group that is asked, looked up at delivery; None: nobody has looked."""
    members: dict[str, tuple[str, ...]] | None = None
    """Of each group that gives seats in the case's plan: who of their holders belongs to it, looked up at delivery."""
    again: bool = False
    """Used by a run that the engine has lost: the new run takes it before what came meanwhile, whatever their numbers."""

    def as_payload(self) -> dict[str, Any]:
        """What is raised: JSON, and nothing of what does not matter to this event."""
        seldom = (("entitled", self.entitled), ("members", self.members), ("again", self.again or None))
        idle = {name for name, value in seldom if value is None}
        return self.model_dump(mode="json", exclude=idle)

    @classmethod
    def from_engine(cls, instance_id: str, name: str, payload: Any) -> RaisedEvent:
        """Read a payload that the engine hands over, whatever it is; what lies deeper than `DEPTH_MAX` counts for nothing.

        One raised past the ledger gets the hash of its content as identity.
        """
        if isinstance(payload, str):  # the Dapr CLI encodes its input a second time
            try:
                payload = json.loads(payload)
            except (ValueError, RecursionError):
                payload = {"text": payload}
        plain = _plain(payload)
        with suppress(ValidationError):  # what only looks like ours must not fail the case
            ours = cls.model_validate(plain)
            if ours.name == name and ours.seq is not None:  # the dispatcher raises rows of the ledger only
                return ours
        data = plain if isinstance(plain, dict) else {"value": plain}
        content = json.dumps([instance_id, name.lower(), data], sort_keys=True, default=str)
        identity = hashlib.sha256(content.encode()).hexdigest()
        return cls(seq=None, identity=identity, name=name, received_at=None, data=data, channel="dapr-api")


def _plain(value: Any, depth: int = 1) -> Any:
    """JSON, no deeper than may be, with names that UTF-8 can write. A replay finds the same, however deep its own stack is."""
    if value is None or isinstance(value, str | int | float):
        return value
    if depth > DEPTH_MAX:
        return None
    if isinstance(value, dict):
        return {_writable(str(name)): _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    return type(value).__name__  # the SDK makes an object of a dict with its own marker


def _writable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


class Refusal(Snapshot):
    """An event that the workflow saw and did not use, and why."""

    seq: int | None
    reason: str


class Carried(Snapshot):
    """What a run hands to the next one when its workflow continues as new, so that a case is one case over all of its runs.

    Bounded: by the quota of a case (`case_events` a name) for what came through the ledger, by the mailbox for what came past it.
    """

    seen: list[str] = []
    """Identities of all events that the case was ever given through the ledger, oldest first: each is used at most once."""
    seen_direct: list[str] = []
    """The newest of those that were raised past the ledger."""
    kept: list[RaisedEvent] = []
    """Given, and not asked for yet, in their order."""
    used: list[int] = []
    refused: list[Refusal] = []
    direct: list[RaisedEvent] = []
    """Not recorded yet: the next step carries them (`StepInput`)."""
    handled: list[int] = []
    handled_direct: list[str] = []
    """Used or refused, recorded or not (`DeadlineInput`)."""
    iterations: dict[str, int] = {}
    """How often each step was called: the next call of a step must not have an earlier one's idempotency key."""
    milestones: list[str] = []
    recorded_at: datetime | None = None
    own: dict[str, Any] = {}
    """The workflow's own state."""


class CaseInput(Snapshot):
    """The input of every shipped workflow. `opened_by` is the identity of the event that opened the case.

    `carried` is there when the workflow has continued as new.
    """

    case: CaseRef
    request: dict[str, Any]
    plan: Plan
    opened_by: str | None = None
    carried: Annotated[Carried | None, Field(exclude_if=lambda carried: carried is None)] = None


class OutgoingEvent(Snapshot):
    """An event to publish through the outbox. `slot` makes its id: the same slot of the same case is the same event."""

    slot: str
    topic: str
    type: str
    data: dict[str, Any]


class Notice(Snapshot):
    """A notice to a person or group. `name` is the seed's activity name, `send_approval_confirmation`."""

    name: str
    recipient: str
    title: str
    body: str


class Closing(Snapshot):
    """The end of a case: its outcome and the workflow's result in the seeds' words."""

    outcome: Outcome
    result: Any
    reason: str | None = None
    milestones: list[str] = []


class TaskDecision(Snapshot):
    """What became of the approval task: `approve` or `reject`, by whom, through which channel."""

    decision: str
    decided_by: str
    comment: str | None = None
    channel: str = "topic"


class GaveUp(Snapshot):
    """A step that was tried as often as it may be: recorded as failed, so that a run that begins anew does not try it again."""

    step: str
    iteration: int
    error: str
    unknown: bool


class Unsettled(Snapshot):
    """A step of a saga that could not be undone; `booking` is what its service had answered, None when that is not known."""

    step: str
    undo: str
    error: str
    booking: dict[str, Any] | None


APPROVAL, AMENDED, DECLINED = "approval", "amended", "declined"
"""In the result of a step of an approval: where it stands now; the request and its plan, if it has become another; or why not."""

RECORDED_AT = "sayso:recorded_at"
"""In the result of a step: when the ledger recorded it, by the database's clock. A rerun gets the same."""


LAST = "sayso:last"
"""In the result of a step that repeats, when it was recorded already: `iteration` and `own` (`StepInput.repeats`) of the last
one, which is later than the one asked for if the engine has gone back: then the workflow goes on from there."""


class ApprovalNote(Snapshot):
    """What happened to an approval besides votes and times: it was delegated, reassigned, reminded, amended. Kept in the audit log."""

    action: str
    actor: str
    channel: str = "topic"
    seq: int | None = None
    stage: str | None = None
    detail: dict[str, Any] = {}


class StepInput(Snapshot):
    """The input of every activity: an optional effect's arguments, and what its one ledger transaction records.

    `direct` are the used events that were raised past the ledger: it keeps them from then on, like those that came through it.
    """

    case: CaseRef
    step: str
    iteration: int = 0
    arguments: dict[str, Any] = {}
    used: list[int] = []
    refused: list[Refusal] = []
    direct: list[RaisedEvent] = []
    publish: list[OutgoingEvent] = []
    notices: list[Notice] = []
    decision: TaskDecision | None = None
    stage: str | None = None
    closing: Closing | None = None
    gave_up: GaveUp | None = None
    unsettled: Unsettled | None = None
    repeats: Annotated[dict[str, Any] | None, Field(exclude_if=lambda repeats: repeats is None)] = None
    """Of a step that repeats for as long as the case lives: the workflow's own state before it. The ledger keeps the last one only."""
    approval: Annotated[ApprovalState | None, Field(exclude_if=lambda state: state is None)] = None
    """Where the approval by the policy's plan stands now, when that is to be recorded; `decision` counts for nothing then."""
    notes: Annotated[list[ApprovalNote], Field(exclude_if=lambda notes: not notes)] = []

    @property
    def idempotency_key(self) -> str:
        """Case, step and iteration: kept by a rerun, passed on to the service that is called."""
        return f"{self.case.matter}/{self.step}/{self.iteration}"


class DeadlineInput(Snapshot):
    """The input of `confirm_deadline`: whose deadline, and which events would have met it. `handled` have been seen already,
    and so have the identities `direct`, which came past the ledger.
    """

    case: CaseRef
    deadline: datetime
    waited_for: list[str]
    handled: list[int] = []
    direct: list[str] = []


class Account(Snapshot):
    """What an instance's history tells: its input, the events raised to it, and its steps that were done, each with its result."""

    given: CaseInput
    run: int = 1
    raised: list[RaisedEvent] = []
    steps: list[tuple[StepInput, dict[str, Any]]] = []
