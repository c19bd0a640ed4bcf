"""An instance's history, read as an account of its case: input, events, steps.

In: the engine's history, which begins with the latest run of a workflow that has continued as new, and its custom status, which has
what was done within the last turn. Out: an `Account`, None when the instance is no case of Sayso. What others wrote is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sayso.contracts.taken_in_turn import taken_in
from sayso.contracts.workflow_io import ANSWERS_TO, Account, CaseInput, RaisedEvent, StepInput
from sayso.engine import HistoryEntry

Model = TypeVar("Model", bound=BaseModel)


def account_of(history: Iterable[HistoryEntry], custom_status: Any = None) -> Account | None:
    """Read it."""
    entries = list(history)
    asked = {
        entry.number: step
        for entry in entries
        if entry.kind == "TASK_SCHEDULED" and (step := _read(StepInput, entry.data)) is not None
    }  # first, because daprd may record an answer before its call
    given: CaseInput | None = None
    raised: list[RaisedEvent] = []
    steps: list[tuple[StepInput, dict[str, Any]]] = []
    for entry in entries:
        if entry.kind == "EXECUTION_STARTED":
            given = _read(CaseInput, entry.data)
        elif entry.kind == "EVENT_RAISED" and given is not None:
            raised.append(RaisedEvent.from_engine(given.case.instance_id, entry.name or "", entry.data))
        elif entry.kind == "TASK_COMPLETED" and entry.answers in asked and isinstance(entry.data, dict):
            steps.append((asked[entry.answers], {name: value for name, value in entry.data.items() if name != ANSWERS_TO}))
    if given is None:
        return None
    kept = given.carried.kept if given.carried is not None else []
    return Account(given=given, raised=[*kept, *raised], steps=[*steps, *taken_in(custom_status)])


def identities_in(instance_id: str, history: Iterable[HistoryEntry]) -> set[str]:
    """The events that were raised to this instance, in this run of its workflow or in one before it."""
    found: set[str] = set()
    for entry in history:
        if entry.kind == "EVENT_RAISED":
            found.add(RaisedEvent.from_engine(instance_id, entry.name or "", entry.data).identity)
        elif entry.kind == "EXECUTION_STARTED" and (given := _read(CaseInput, entry.data)) is not None and given.carried is not None:
            found.update(given.carried.seen)
    return found


def _read(model: type[Model], data: Any) -> Model | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None
