"""The journal of a running workflow: which events it has used or refused since its last step, and its milestones.

Pure state of one generator. A step hands over what has collected, so that the ledger marks it in the step's own transaction. When the
workflow continues as new, the next run's journal goes on where this one stopped (`Carried`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from dapr.ext.workflow import DaprWorkflowContext, RetryPolicy, TaskFailedError

from sayso.contracts.approval_state import ApprovalState
from sayso.contracts.payload import Payload
from sayso.contracts.signed import Matter, request_hash
from sayso.contracts.workflow_io import (
    ANSWERS_TO,
    RECORDED_AT,
    ApprovalNote,
    Carried,
    CaseInput,
    Closing,
    GaveUp,
    RaisedEvent,
    Refusal,
    Retries,
    StepInput,
    call_of,
)
from sayso.errors import EffectFailedError, SaysoError
from sayso.gate import UNSTORABLE

Yields = Generator[Any, Any, Any]
P = TypeVar("P", bound=Payload)

STEP_RETRIES = RetryPolicy(
    first_retry_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(minutes=1),
    max_number_of_attempts=1_000,  # Dapr has no endless setting: this is most of a day
)

MISPLACED_MAX = 5
LEDGER_AWAY_MAX = 50
"""How often an effect is attempted anew because the ledger, not the service, was away; each time it was waited for."""


def retry_policy(retries: Retries) -> RetryPolicy:
    """The plan's retries as the engine takes them."""
    return RetryPolicy(
        first_retry_interval=timedelta(seconds=retries.first_interval_seconds),
        backoff_coefficient=retries.coefficient,
        max_retry_interval=timedelta(seconds=retries.interval_max_seconds),
        max_number_of_attempts=retries.attempts,
    )


@dataclass(frozen=True)
class Failed:
    """An effect did not come about, in the service's words; `unknown`: it may have happened all the same."""

    error: str
    unknown: bool


def _failure_in(result: dict[str, Any]) -> Failed | None:
    """A refusal, or what an earlier run gave up."""
    if "refused" in result:
        return Failed(result["refused"], unknown=False)
    return Failed(result["gave_up"], unknown=result["unknown"]) if "gave_up" in result else None


class MisplacedAnswersError(SaysoError):
    """The engine gives one activity the answers of others."""


class LedgerAwayError(SaysoError):
    """The ledger comes and goes: nothing can be recorded."""


class Journal:
    """What one case has seen; made at the start of its workflow."""

    def __init__(self, ctx: DaprWorkflowContext, case_input: CaseInput) -> None:
        self.ctx = ctx
        self.case = case_input.case
        self.plan = case_input.plan
        self.carried = case_input.carried or Carried()
        """From the run before this one; of the first run: nothing."""
        self.milestones = list(self.carried.milestones)
        self.recorded_at = self.carried.recorded_at
        """When the ledger recorded the last step."""
        self.handled = list(self.carried.handled)
        self.handled_direct = list(self.carried.handled_direct)
        self.leftovers: Callable[[], list[RaisedEvent]] = list
        """Takes what the mailbox still keeps; asked when the case ends."""
        self.request = case_input.request
        """As it is since it was last amended."""
        self.waited: str | None = None
        """How long an approval waited that timed out, in words, when its policy said so."""
        self._asked: tuple[dict[str, Any], Payload] | None = None
        self._approval: ApprovalState | None = None
        self._notes: list[ApprovalNote] = []
        self._input = case_input
        self._used = list(self.carried.used)
        self._direct = list(self.carried.direct)
        self._refused = list(self.carried.refused)
        self._iterations = Counter(self.carried.iterations)

    @property
    def now(self) -> datetime:
        """The workflow's own time: the same in every replay."""
        now: datetime = self.ctx.current_utc_datetime
        return now if now.tzinfo else now.replace(tzinfo=UTC)

    def asked(self, model: type[P]) -> P:
        """The request as it is now, by its contract."""
        if self._asked is None or self._asked[0] is not self.request:
            self._asked = (self.request, model.model_validate(self.request))
        assert isinstance(self._asked[1], model)
        return self._asked[1]

    def matter(self) -> Matter:
        """What a signed decision has to be about."""
        case = self.case
        return Matter(case.instance_id, case.generation, request_hash(self.request), case.effects_of)

    def use(self, event: RaisedEvent) -> None:
        """The workflow acts on this event, whose data are what its contract made of them: they go into the step as they are."""
        if event.seq is not None:
            self._used.append(event.seq)
            self.handled.append(event.seq)
        else:
            self._direct.append(event)
            self.handled_direct.append(event.identity)

    def refuse(self, event: RaisedEvent, reason: str) -> None:
        """The workflow saw this event and does not act on it."""
        self._refused.append(Refusal(seq=event.seq, reason=UNSTORABLE.sub("\ufffd", reason)))  # it may quote the event
        if event.seq is not None:
            self.handled.append(event.seq)

    def stands(self, state: ApprovalState, *notes: ApprovalNote) -> None:
        """Where the approval stands now, and what happened; the next step records it."""
        self._approval = state
        self._notes += notes

    def step(self, name: str, arguments: dict[str, Any] | None = None, **record: Any) -> Yields:
        """Call the activity `name` once, with what has collected; gives its result.

        `record` is what the step records (`StepInput`). Steps are counted by name, unless an `iteration` is given.
        """
        step = self._prepared(name, arguments, record)
        result = yield from self.call(name, step.model_dump(mode="json"))
        return self._taken(result)

    def attempt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        retries: RetryPolicy,
        with_failure: Callable[[Failed], dict[str, Any]] = lambda _: {},
        **record: Any,
    ) -> Yields:
        """As `step`, but an effect that fails is tried as often as `retries` says, then given up: its result, or `Failed`.

        That it was given up is a step of its own, `give_up`, with what has collected and what `with_failure` says; a run that begins
        anew finds it and fails in the same way, even if the service has recovered since. Only the service's failures count: while the
        ledger is away, `await_ledger` is tried for most of a day, and then the effect again, under the same idempotency key.
        """
        step = self._prepared(name, arguments, record)
        given = step.model_dump(mode="json")
        for _ in range(LEDGER_AWAY_MAX):
            failed = None
            try:
                result = yield from self.call(name, given, retries)
            except TaskFailedError as error:
                if error.details.error_type == EffectFailedError.__name__:
                    failed = Failed(error.details.message, unknown=True)
            else:
                failed = _failure_in(result)
                if failed is None:
                    return self._taken(result)
            if failed is not None:
                gave_up = GaveUp(step=name, iteration=step.iteration, error=failed.error, unknown=failed.unknown)
                yield from self.step("give_up", gave_up=gave_up, **with_failure(failed))
                return failed
            yield from self.step("await_ledger")
        raise LedgerAwayError(f"{name} was given up: the ledger was away {LEDGER_AWAY_MAX} times")

    def _prepared(self, name: str, arguments: dict[str, Any] | None, record: dict[str, Any]) -> StepInput:
        """The next step of this name, with what has collected."""
        if record.get("closing") is not None:
            self._refuse_leftovers()
        iteration = record.pop("iteration", None)
        if iteration is None:
            iteration = self._iterations[name]
            self._iterations[name] += 1
        return StepInput(
            case=self.case,
            step=name,
            iteration=iteration,
            arguments=arguments or {},
            used=list(self._used),
            refused=list(self._refused),
            direct=list(self._direct),
            approval=self._approval,
            notes=list(self._notes),
            **record,
        )

    def _taken(self, result: dict[str, Any]) -> dict[str, Any]:
        """The result of a step; what had collected is recorded with it."""
        if RECORDED_AT in result:
            self.recorded_at = datetime.fromisoformat(result[RECORDED_AT])
        if "refused" not in result:  # a refused effect has recorded nothing: the next step carries it all
            self._used.clear()
            self._direct.clear()
            self._refused.clear()
            self._approval = None
            self._notes.clear()
        return result

    def call(self, activity: str, given: dict[str, Any], retries: RetryPolicy = STEP_RETRIES) -> Yields:
        """Call an activity; gives its answer. One that answers another call is passed over, and the call is made again.

        daprd may put one there: when a turn's state could not be stored, the turn is run again, may take another way, and finds the
        answer to what it called the first time under the same number (ADR 0006).
        """
        expected = call_of(activity, given.get("iteration", 0))
        for _ in range(MISPLACED_MAX):
            answer = yield self.ctx.call_activity(activity, input=given, retry_policy=retries)
            if answer.get(ANSWERS_TO, expected) == expected:
                return answer
        raise MisplacedAnswersError(f"{activity} got the answers of other calls {MISPLACED_MAX} times")

    def _refuse_leftovers(self) -> None:
        """What came through the ledger becomes `unclaimed` there; what was raised past it is only known here."""
        for event in self.leftovers():
            if event.seq is None:
                self.refuse(event, "the case ended without using it")

    def record_refusals(self) -> Yields:
        """Make refusals visible now, not at the end of the case."""
        return (yield from self.step("record_refusal"))

    def close(self, closing: Closing, **record: Any) -> Yields:
        """End the case without a further effect; gives the workflow's result."""
        yield from self.step("close_case", closing=closing, **record)
        return closing.result

    def continue_as_new(self, **mailbox_and_own: Any) -> None:
        """End this run; the next one begins with all that this one knew. Workflows call `Mailbox.continue_as_new`."""
        carried = Carried(
            used=self._used,
            refused=self._refused,
            direct=self._direct,
            handled=self.handled,
            handled_direct=self.handled_direct,
            iterations=dict(self._iterations),
            milestones=self.milestones,
            recorded_at=self.recorded_at,
            **mailbox_and_own,
        )
        following = self._input.model_copy(update={"carried": carried})
        self.ctx.continue_as_new(following.model_dump(mode="json"), save_events=True)
