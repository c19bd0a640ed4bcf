"""The journal of a running workflow: which events it has used or refused since its last step, and its milestones.

Pure state of one generator. A step hands over what has collected, so that the ledger marks it in the step's own transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any

from dapr.ext.workflow import DaprWorkflowContext, RetryPolicy

from sayso.contracts.workflow_io import ANSWERS_TO, RECORDED_AT, CaseInput, Closing, RaisedEvent, Refusal, StepInput
from sayso.errors import SaysoError
from sayso.gate import UNSTORABLE

Yields = Generator[Any, Any, Any]

STEP_RETRIES = RetryPolicy(
    first_retry_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(minutes=1),
    max_number_of_attempts=1_000,  # Dapr has no endless setting: this is most of a day
)


MISPLACED_MAX = 5


class MisplacedAnswersError(SaysoError):
    """The engine gives one activity the answers of others."""


class Journal:
    """What one case has seen; made at the start of its workflow."""

    def __init__(self, ctx: DaprWorkflowContext, case_input: CaseInput) -> None:
        self.ctx = ctx
        self.case = case_input.case
        self.plan = case_input.plan
        self.milestones: list[str] = []
        self.recorded_at: datetime | None = None
        """When the ledger recorded the last step."""
        self.handled: list[int] = []
        self.direct: list[RaisedEvent] = []
        self.leftovers: Callable[[], list[RaisedEvent]] = list
        """Takes what the mailbox still keeps; asked when the case ends."""
        self._used: list[int] = []
        self._direct: list[RaisedEvent] = []
        self._refused: list[Refusal] = []
        self._iterations: Counter[str] = Counter()

    @property
    def now(self) -> datetime:
        """The workflow's own time: the same in every replay."""
        now: datetime = self.ctx.current_utc_datetime
        return now if now.tzinfo else now.replace(tzinfo=UTC)

    def use(self, event: RaisedEvent) -> None:
        """The workflow acts on this event, whose data are what its contract made of them: they go into the step as they are."""
        if event.seq is not None:
            self._used.append(event.seq)
            self.handled.append(event.seq)
        else:
            self._direct.append(event)
            self.direct.append(event)

    def refuse(self, event: RaisedEvent, reason: str) -> None:
        """The workflow saw this event and does not act on it."""
        self._refused.append(Refusal(seq=event.seq, reason=UNSTORABLE.sub("\ufffd", reason)))  # it may quote the event
        if event.seq is not None:
            self.handled.append(event.seq)

    def step(self, name: str, arguments: dict[str, Any] | None = None, **record: Any) -> Yields:
        """Call the activity `name` once, with what has collected; gives its result."""
        if record.get("closing") is not None:
            self._refuse_leftovers()
        iteration = self._iterations[name]
        self._iterations[name] += 1
        step = StepInput(
            case=self.case,
            step=name,
            iteration=iteration,
            arguments=arguments or {},
            used=list(self._used),
            refused=list(self._refused),
            direct=list(self._direct),
            **record,
        )
        result = yield from self.call(name, step.model_dump(mode="json"))
        if RECORDED_AT in result:
            self.recorded_at = datetime.fromisoformat(result[RECORDED_AT])
        if "refused" not in result:  # a refused effect has recorded nothing: the next step carries it all
            self._used.clear()
            self._direct.clear()
            self._refused.clear()
        return result

    def call(self, activity: str, given: dict[str, Any]) -> Yields:
        """Call an activity; gives its answer. One that answers another call is passed over, and the call is made again.

        daprd may put one there: when a turn's state could not be stored, the turn is run again, may take another way, and finds the
        answer to what it called the first time under the same number (ADR 0006).
        """
        for _ in range(MISPLACED_MAX):
            answer = yield self.ctx.call_activity(activity, input=given, retry_policy=STEP_RETRIES)
            if answer.get(ANSWERS_TO, activity) == activity:
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
