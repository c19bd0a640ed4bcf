"""One workflow instance in the simulated engine: the production generator on a light context.

In: what the engine has recorded for it, entry by entry. Out: what it asks for: activities and timers. It stands in for the SDK's
executor without its encoding; a worker that was killed replays the history on a new one, which must ask for the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dapr.ext.workflow._durabletask.internal.protos import TaskFailureDetails
from dapr.ext.workflow._durabletask.task import CompletableTask, ExternalEventWithTimeoutTask

Workflow = Callable[[Any, Any], Generator[Any, Any, Any]]
Entry = tuple[datetime, str, Any]
"""When, what (`raised`, `fired`, `answered`, `failed`), and its content."""
UNLIMITED = 1_000


class NotDeterministicError(AssertionError):
    """A replay asked for something else than before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the workflow asks of the engine: an activity's name and input, or a timer's moment."""

    number: int
    activity: str | None
    content: Any
    attempts: int | None = None
    """How often the activity is tried; None: until it is done."""


class LightContext:
    """What workflows use of `DaprWorkflowContext`."""

    def __init__(self, instance_id: str, numbers: int = 0) -> None:
        self.instance_id = instance_id
        self.current_utc_datetime: datetime
        self.custom_status: str | None = None
        self.asked: list[Asked] = []
        self.tasks: dict[int, CompletableTask[Any]] = {}
        self.numbers = numbers
        """How many tasks all runs so far have made: what belonged to an earlier run never answers this one's."""
        self.next_input: Any = None
        """Of the run after this one."""
        self.carried: list[tuple[str, Any]] = []
        self._waiting: dict[str, list[CompletableTask[Any]]] = {}
        self._early: dict[str, list[Any]] = {}

    def call_activity(self, name: str, *, input: Any = None, retry_policy: Any = None) -> CompletableTask[Any]:  # noqa: A002
        """Retries are the engine's; so many attempts as nobody makes within a run count as no limit."""
        attempts = retry_policy.max_number_of_attempts if retry_policy is not None else 1
        return self._ask(name, input, attempts if attempts < UNLIMITED else None)

    def create_timer(self, fire_at: datetime | timedelta) -> CompletableTask[Any]:
        """See the SDK."""
        moment = self.current_utc_datetime + fire_at if isinstance(fire_at, timedelta) else fire_at
        return self._ask(None, moment)

    def wait_for_external_event(self, name: str, *, timeout: timedelta) -> Any:
        """Names ignore case; early events are buffered in order; a wait without time takes what is there, or has failed."""
        event: CompletableTask[Any] = CompletableTask()
        early = self._early.get(name.lower())
        if early:
            event.complete(early.pop(0))
            return event
        if not timeout:
            event.cancel(TimeoutError(name))
            return event
        waiting = self._waiting.setdefault(name.lower(), [])
        waiting.append(event)
        timer: Any = self.create_timer(timeout)
        return ExternalEventWithTimeoutTask(event, timer, name, timeout, lambda: waiting.remove(event))

    def set_custom_status(self, custom_status: str) -> None:
        """See the SDK."""
        self.custom_status = custom_status

    def is_patched(self, _name: str) -> bool:
        """Nothing here began with older code."""
        return True

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """See the SDK: what nobody has taken yet comes to the next run, if it is to be saved."""
        self.next_input = new_input
        self.carried = [(name, payload) for name, payloads in self._early.items() for payload in payloads] if save_events else []

    @property
    def _pending_events(self) -> dict[str, list[CompletableTask[Any]]]:
        """The SDK's name, which the mailbox withdraws its waits from."""
        return self._waiting

    @property
    def _received_events(self) -> dict[str, list[Any]]:
        """The SDK's name, where the mailbox looks before it asks."""
        return self._early

    def raise_event(self, name: str, payload: Any) -> None:
        """An event has come."""
        waiting = self._waiting.get(name.lower())
        if waiting:
            waiting.pop(0).complete(payload)
        else:
            self._early.setdefault(name.lower(), []).append(payload)

    def _ask(self, activity: str | None, content: Any, attempts: int | None = None) -> CompletableTask[Any]:
        self.numbers += 1
        task: CompletableTask[Any] = CompletableTask()
        self.tasks[self.numbers] = task
        self.asked.append(Asked(self.numbers, activity, content, attempts))
        return task


class Instance:
    """A running or ended instance, with its history."""

    def __init__(self, workflow: Workflow, instance_id: str, case_input: Any, now: datetime) -> None:
        self.instance_id = instance_id
        self.created_at = now
        self.updated_at = now
        self.status = "RUNNING"
        self.output: Any = None
        self.failure: str | None = None
        self.history: list[Entry] = []
        self.asked: list[Asked] = []
        self.runs = 1
        self._workflow = workflow
        self._input = case_input
        self._run_began_at = now
        self._numbers_before = 0
        self._context: LightContext | None = None
        self._generator: Any = None
        self._awaited: Any = None

    @property
    def custom_status(self) -> str | None:
        """What the workflow says of itself."""
        return self._context.custom_status if self._context else None

    def begin(self) -> list[Asked]:
        """The first turn."""
        return self._advance(self._start, self.created_at)

    def take(self, entry: Entry) -> list[Asked]:
        """One turn: record the entry, tell the workflow, and say what it asks for."""
        if self.status != "RUNNING":
            return []
        if self._generator is None:
            self._replay()
        self.history.append(entry)
        self.updated_at = entry[0]
        return self._advance(lambda: self._tell(entry), entry[0])

    def take_in_turn(self, asked: Asked, answer: Any, now: datetime) -> bool:
        """The turn in hand goes on with the answer of what it asked for, which no history has. False: it did not end with it, so that
        the turn is as it was, and the engine is asked.
        """
        if self._generator is None:
            self._replay()
        before = list(self.asked)
        self._advance(lambda: self._tell((now, "answered", (asked.number, answer))), now)
        if self.status == "RUNNING":
            self.asked = before
            self.forget()
        return self.status != "RUNNING"

    def undo(self, entries: int, asked: int) -> None:
        """The turn in hand is not stored: it has so many entries and wishes as before."""
        del self.history[entries:], self.asked[asked:]
        self.forget()

    def forget(self) -> None:
        """The worker that had it in memory is gone."""
        self._generator = self._awaited = None

    def _advance(self, turn: Callable[[], None], now: datetime) -> list[Asked]:
        try:
            turn()
        except StopIteration as end:
            if self._context is not None and self._context.next_input is not None:
                return self._begin_next_run(self._context, now)
            self.status, self.output = "COMPLETED", end.value
        except Exception as error:  # noqa: BLE001 - the engine fails the instance, whatever it was
            self.status, self.failure = "FAILED", f"{type(error).__name__}: {error}"
        self.updated_at = now
        context = self._context
        assert context is not None
        new = context.asked[len(self.asked) :]
        self.asked += new
        if self.status != "RUNNING":
            self._generator = self._awaited = None
        return new

    def _begin_next_run(self, before: LightContext, now: datetime) -> list[Asked]:
        """It continues as new: with another input, an empty history, and the events that nobody had taken."""
        self.runs += 1
        self._input, self._run_began_at, self._numbers_before = before.next_input, now, before.numbers
        self.history, self.asked = [(now, "raised", event) for event in before.carried], []

        def turn() -> None:
            self._start()
            for entry in self.history:
                self._tell(entry)

        return self._advance(turn, now)

    def _start(self) -> None:
        self._context = LightContext(self.instance_id, self._numbers_before)
        self._context.current_utc_datetime = self._run_began_at
        self._generator = self._workflow(self._context, self._input)
        self._awaited = next(self._generator)
        self._resume()

    def _tell(self, entry: Entry) -> None:
        context = self._context
        assert context is not None
        context.current_utc_datetime, kind, content = entry
        if kind == "raised":
            context.raise_event(*content)
        else:
            number, answer = content
            task = context.tasks.pop(number, None)
            if task is not None and kind == "failed":
                task.fail(answer[1], TaskFailureDetails(errorType=answer[0], errorMessage=answer[1]))
            elif task is not None:  # answered twice: the engine knows
                task.complete(answer)
        self._resume()

    def _resume(self) -> None:
        while self._awaited.is_complete:
            if self._awaited.is_failed:
                self._awaited = self._generator.throw(self._awaited.get_exception())
            else:
                self._awaited = self._generator.send(self._awaited.get_result())

    def _replay(self) -> None:
        """Run it again from the start; it must ask for the same."""
        before, self.asked = self.asked, []
        self._start()
        for entry in self.history:
            self._tell(entry)
        context = self._context
        assert context is not None
        if context.asked != before:
            raise NotDeterministicError(f"{self.instance_id} asked for something else in its replay")
        self.asked = before
