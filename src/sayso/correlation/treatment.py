"""Treatment: what a binding says of an event that comes too early, too late, once more, or after the end of its case.

In: the fields `early`, `on_late`, `on_duplicate`, `on_restart` of one rule. Out: a `Treatment`, which travels in the verdict to the
transaction that needs it. What is wrong stops the start with file, line and the nearest valid word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from sayso.config_file import ConfigFile, Location, did_you_mean
from sayso.contracts.cases import LateAnswer
from sayso.contracts.catalog import EVENT_TYPES
from sayso.contracts.payload import Payload

DEAD_LETTER = "dead-letter"
OURS = "sayso."
"""Types that begin so are those that ship: another one would be answered to by nobody."""
TOPIC_SLIP_RATIO = 0.9
TYPE_SLIP_RATIO = 0.97
"""`difflib` ratios from which an unknown word counts as misspelt: one letter off; `….v2` of a type is not."""


@dataclass(frozen=True)
class Answer:
    """An event that Sayso publishes when the other one came too late."""

    type: str
    topic: str

    def __str__(self) -> str:
        """As it is kept with the event."""
        return f"{self.type} to {self.topic}"

    @classmethod
    def parse(cls, kept: str) -> Answer:
        """The opposite of `str`."""
        event_type, _, topic = kept.partition(" to ")
        return cls(event_type, topic)


@dataclass(frozen=True)
class Treatment:
    """`hold` None: as long as the setting says. Without `holds_early` an early event is a dead letter at once."""

    holds_early: bool = True
    hold: timedelta | None = None
    on_late: Answer | None = None
    alarms_on_duplicate: bool = False
    restarts: bool = False
    signed_on: str | None = None
    """Only with the signature of a sender that may send on this topic (`sayso.signing`); None: without, too."""


def early_of(text: str | None, file: ConfigFile, at: Location) -> tuple[bool, timedelta | None]:
    """`hold DURATION` or `dead-letter`: whether the event waits for its case, and how long."""
    if text is None or text == DEAD_LETTER:
        return text is None, None
    verb, _, duration = text.partition(" ")
    try:
        return True, POSITIVE_DURATION.validate_python(duration.strip() if verb == "hold" else "")
    except ValidationError as error:
        raise file.error(
            (*at, "early"), f'"{text}" is not understood; write for example `hold PT1H`, at most 100 years, or `{DEAD_LETTER}`'
        ) from error


LONGEST = timedelta(days=36_500)
"""A hundred years: the end of what waits is a date, and dates end with the year 9999."""

POSITIVE_DURATION: TypeAdapter[timedelta] = TypeAdapter(Annotated[timedelta, Field(gt=timedelta(0), le=LONGEST)])


def on_late_of(text: str | None, payload: type[Payload] | None, file: ConfigFile, at: Location) -> Answer | None:
    """`dead-letter` or `publish TYPE to TOPIC`; `payload` is the contract of the event that may be late."""
    if text is None or text == DEAD_LETTER:
        return None
    place = (*at, "on_late")
    written = re.fullmatch(r"publish (\S+) to (\S+)", text)
    if written is None:
        raise file.error(place, f'"{text}" is not understood; write `publish TYPE to TOPIC`, or `{DEAD_LETTER}`')
    answer = Answer(written[1], written[2])
    known = EVENT_TYPES.get(answer.type)
    if known is None:
        _refuse_slip("type", answer.type, ANSWERS, TYPE_SLIP_RATIO, file, place)
    if known is None and not answer.type.startswith(OURS):
        return answer
    if known is None or answer.type not in ANSWERS:
        raise file.error(place, f'"{answer.type}" is no answer to a late event{did_you_mean(answer.type, ANSWERS)}')
    if answer.topic != known.topic:
        raise file.error(place, f'"{answer.type}" travels on "{known.topic}", not on "{answer.topic}"')
    wanted = {name for name, field in known.model.model_fields.items() if field.is_required()} - set(LateAnswer.model_fields)
    missing = sorted(wanted - set(payload.model_fields if payload is not None else ()))
    if missing:
        raise file.error(place, f"{answer.type} also needs {', '.join(missing)}, which this event has not")
    return answer


ANSWERS = tuple(name for name, kind in EVENT_TYPES.items() if issubclass(kind.model, LateAnswer))
"""The shipped types that answer a late event; own ones are welcome."""


def refuse_shipped_slips(topic: str, event_type: str, file: ConfigFile, at: Location) -> None:
    """Own topics and types are welcome; one that is a slip away from a shipped one is taken for a slip."""
    inbound = {name: kind for name, kind in EVENT_TYPES.items() if kind.direction == "in"}
    _refuse_slip("topic", topic, {kind.topic for kind in inbound.values()}, TOPIC_SLIP_RATIO, file, (*at, "topic"))
    _refuse_slip("type", event_type, inbound, TYPE_SLIP_RATIO, file, (*at, "type"))
    if topic in {kind.topic for kind in EVENT_TYPES.values() if kind.direction == "out"}:
        raise file.error((*at, "topic"), f'"{topic}" carries what Sayso itself publishes; reading it would be a loop')


def _refuse_slip(field: str, word: str, shipped: Collection[str], cutoff: float, file: ConfigFile, place: Location) -> None:
    near = difflib.get_close_matches(word.lower(), shipped, n=1, cutoff=cutoff)
    if word not in shipped and near:
        raise file.error(place, f'{field} "{word}" is not known; did you mean "{near[0]}"?')
