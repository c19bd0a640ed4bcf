"""Waits and numbers of a policy file: text in, `Wait` out, with what the settings override and how much they stretch.

A number that names a setting is the setting's value where that differs from the setting's default. `time_scale` multiplies every
wait; other than 1, working time becomes time by the clock, because a thousandth of a working day has no calendar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from sayso.config_file import ConfigFile, Location, did_you_mean
from sayso.contracts.approval_plan import Wait
from sayso.correlation.treatment import POSITIVE_DURATION
from sayso.policy.conditions import DIGITS_MAX
from sayso.policy.written import NumberWritten
from sayso.settings import Settings, setting_places

WORKING = re.compile(r"(\d{1,5}(?:\.\d{1,2})?) working (hour|day)s?(?: of ([\w-]+))?")
HOW = "write for example `PT24H`, `P3D`, `8 working hours` or `2 working days`"
DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600


@dataclass(frozen=True)
class Waits:
    """What waits of one file may refer to. `calendar` is the one that is meant where none is named, if that is clear."""

    file: ConfigFile
    numbers: Mapping[str, Decimal | str | timedelta]
    calendars: frozenset[str]
    calendar: str | None
    scale: float

    def wait(self, text: str, at: Location) -> Wait:
        """The wait that is written there."""
        return self._scaled(self._wait(self._resolved(text, at), at))

    def _resolved(self, text: str, at: Location) -> str | timedelta:
        if not text.startswith("numbers."):
            return text
        name = text.removeprefix("numbers.")
        if name not in self.numbers:
            raise self.file.error(at, f'there is no number "{name}"{did_you_mean(name, self.numbers)}')
        value = self.numbers[name]
        if isinstance(value, Decimal):
            raise self.file.error(at, f"{text} is the number {value}, not a wait; {HOW}")
        return value

    def _wait(self, text: str | timedelta, at: Location) -> Wait:
        if isinstance(text, timedelta):
            return Wait(seconds=text.total_seconds())
        working = WORKING.fullmatch(text.strip())
        if working is not None:
            return self._working(working, at)
        try:
            return Wait(seconds=POSITIVE_DURATION.validate_python(text.strip()).total_seconds())
        except ValidationError as error:
            raise self.file.error(at, f'"{text}" is not understood; {HOW}') from error

    def _working(self, written: re.Match[str], at: Location) -> Wait:
        count, unit = float(written[1]), written[2]
        if count <= 0 or (unit == "day" and not count.is_integer()):
            raise self.file.error(at, f'"{written[0]}": write whole working days, at least one, or working hours')
        calendar = written[3] or self.calendar
        if calendar is None:
            raise self.file.error(at, f'"{written[0]}": of which calendar? write `{written[0]} of NAME`, or `calendar: NAME` above')
        if calendar not in self.calendars:
            raise self.file.error(at, f'there is no calendar "{calendar}" in calendars.yaml{did_you_mean(calendar, self.calendars)}')
        return Wait(working_days=int(count), calendar=calendar) if unit == "day" else Wait(working_hours=count, calendar=calendar)

    def _scaled(self, wait: Wait) -> Wait:
        if self.scale == 1:
            return wait
        days, hours = wait.working_days or 0, wait.working_hours or 0
        seconds = wait.seconds if wait.seconds is not None else days * DAY_SECONDS + hours * HOUR_SECONDS
        return Wait(seconds=seconds * self.scale)


def numbers_of(written: Mapping[str, NumberWritten], settings: Settings, file: ConfigFile) -> dict[str, Decimal | str | timedelta]:
    """Every number of the file, or what its setting says instead."""
    numbers: dict[str, Decimal | str | timedelta] = {}
    for name, number in written.items():
        at: Location = ("numbers", name)
        value = number.value if number.setting is None else _overridden(number, settings, file, (*at, "setting"))
        if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) > DIGITS_MAX:
            raise file.error(at, f"{value} has more than {DIGITS_MAX} digits")
        numbers[name] = value
    return numbers


def _overridden(number: NumberWritten, settings: Settings, file: ConfigFile, at: Location) -> Decimal | str | timedelta:
    place = tuple(str(number.setting).split("."))
    known = {".".join(known): known for known in setting_places()}
    if number.setting not in known:
        raise file.error(at, f'no setting "{number.setting}"{did_you_mean(str(number.setting), known)}')
    value, default = _at(settings, place), _at(Settings.model_construct(), place)
    if isinstance(number.value, Decimal) and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return number.value if value == default else Decimal(str(value))
    if isinstance(number.value, str) and isinstance(value, timedelta):
        return number.value if value == default else value
    kinds = "a number" if isinstance(number.value, Decimal) else "a duration"
    raise file.error(at, f"the setting {number.setting} is not {kinds}")


def _at(settings: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        settings = getattr(settings, name)
    return settings
