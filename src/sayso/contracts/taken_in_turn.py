"""Steps that a worker took within the turn that asked for them (ADR 0014): the instance's custom status has them, its history has not.

In: a step's input and its answer, both as JSON. Out: a custom status; and from a custom status, whoever wrote it, the steps in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sayso.contracts.workflow_io import ANSWERS_TO, StepInput

NAME = "taken_in_turn"
Taken = tuple[StepInput, dict[str, Any]]
_TAKEN: TypeAdapter[list[Taken]] = TypeAdapter(list[Taken])


def custom_status_of(taken: Iterable[tuple[str, str]]) -> str:
    """The custom status that says what each of these steps was given, and what it answered."""
    pairs = ", ".join(f"[{given}, {answer}]" for given, answer in taken)
    return f'{{"{NAME}": [{pairs}]}}'


def taken_in(custom_status: Any) -> list[Taken]:
    """The steps in a decoded custom status, in their order; one that says something else has none."""
    if not isinstance(custom_status, dict):
        return []
    try:
        steps = _TAKEN.validate_python(custom_status.get(NAME, []))
    except ValidationError:
        return []
    return [(step, {name: value for name, value in answer.items() if name != ANSWERS_TO}) for step, answer in steps]
