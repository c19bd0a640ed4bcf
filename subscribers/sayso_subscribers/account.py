"""An instance's history, read as an account of its case: input, events, steps.

In: the engine's history. Out: an `Account`, None when the instance is no case of Sayso. What Sayso did not write is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sayso.contracts.workflow_io import ANSWERS_TO, Account, CaseInput, RaisedEvent, StepInput
from sayso.engine import HistoryEntry

Model = TypeVar("Model", bound=BaseModel)


def account_of(history: Iterable[HistoryEntry]) -> Account | None:
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
    return Account(given=given, raised=raised, steps=steps) if given is not None else None


def identities_in(instance_id: str, history: Iterable[HistoryEntry]) -> set[str]:
    """The events that were raised to this instance."""
    raised = (entry for entry in history if entry.kind == "EVENT_RAISED")
    return {RaisedEvent.from_engine(instance_id, entry.name or "", entry.data).identity for entry in raised}


def _read(model: type[Model], data: Any) -> Model | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None
