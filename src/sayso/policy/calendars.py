"""Business calendars, and when a wait ends. `config/calendars.yaml`, loaded once.

In: the file; a moment and a `Wait`. Out: the moment at which the wait is over, in UTC. Pure: the clock is the caller's. Working time
is measured as it passes, so that an hour that daylight saving takes away or gives is counted as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import holidays
from pydantic import Field, model_validator

from sayso.config_file import ConfigFile, ConfigModel, Location, did_you_mean, load_config
from sayso.contracts.approval_plan import Wait
from sayso.errors import ConfigurationError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
IDLE_DAYS_MAX = 400
"""A calendar that has no working time for longer than that is wrong, not patient."""

LAST = datetime.max.replace(tzinfo=UTC)
Span = tuple[time, time]
SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-(?:([01]?\d|2[0-3]):([0-5]\d)|24:00)", re.ASCII)


class DaysOff(ConfigModel):
    """Some days of one's own on which nobody works, the last one included."""

    first: date = Field(alias="from", description="The first day.")
    last: date = Field(alias="to", description="The last day.")

    @model_validator(mode="before")
    @classmethod
    def _one_day(cls, written: object) -> object:
        return {"from": written, "to": written} if isinstance(written, date | str) else written

    @model_validator(mode="after")
    def _in_order(self) -> DaysOff:
        if self.last < self.first:
            raise ValueError(f"it ends ({self.last}) before it begins ({self.first})")
        return self


class PublicHolidays(ConfigModel):
    """Whose public holidays, as the library `holidays` knows them."""

    country: str = Field(description="ISO 3166-1 code: DE, US.")
    subdivision: str | None = Field(None, description="Its state, province or canton: BE, CA.")


class CalendarEntry(ConfigModel):
    """One calendar, as written."""

    time_zone: str = Field("UTC", description="IANA name: Europe/Berlin.")
    hours: dict[str, str | None] = Field(min_length=1, description="Weekday: `09:00-17:00`, or several, or nothing.")
    holidays: PublicHolidays | None = Field(None, description="Public holidays, on which nobody works.")
    days_off: tuple[DaysOff, ...] = Field((), description="Further days on which nobody works.")


class CalendarsFile(ConfigModel):
    """The whole file."""

    calendars: dict[str, CalendarEntry] = Field(min_length=1)


@dataclass(frozen=True)
class Calendar:
    """When people work. `hours` has a tuple of spans for each weekday, Monday first; `24:00` is `time.max`."""

    name: str
    zone: ZoneInfo
    hours: tuple[tuple[Span, ...], ...]
    off: frozenset[date] = frozenset()
    public: Mapping[date, str] = field(default_factory=dict)

    def spans_on(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """The working spans of a day, as moments in UTC."""
        if day in self.off or day in self.public:
            return
        for opens, closes in self.hours[day.weekday()]:
            begin, end = self._moment(day, opens), self._moment(day, closes)
            if begin < end:  # a span that daylight saving swallows is none
                yield begin, end

    def working_days(self, opened: datetime) -> Iterator[tuple[date, list[tuple[datetime, datetime]]]]:
        """From this moment on, to the end of all dates: each day with working time, and its spans. `ConfigurationError` if there is
        none for more than a year.
        """
        first = opened.astimezone(self.zone).date().toordinal()
        idle = 0
        for day in map(date.fromordinal, range(first, date.max.toordinal())):
            spans = list(self.spans_on(day))
            idle = 0 if spans else idle + 1
            if idle > IDLE_DAYS_MAX:
                raise ConfigurationError(f'calendar "{self.name}" has no working time in the {IDLE_DAYS_MAX} days up to {day}')
            if spans:
                yield day, spans

    def _moment(self, day: date, at: time) -> datetime:
        if at == time.max:
            day, at = day + timedelta(days=1), time.min
        return datetime.combine(day, at, self.zone).astimezone(UTC)


Calendars = Mapping[str, Calendar]


def due_at(opened: datetime, wait: Wait, calendars: Calendars) -> datetime:
    """When a wait that begins at `opened` is over; at the latest at the end of all dates.

    Working hours are counted within the calendar's hours. Working days end when work ends on the last of them; the day of `opened`
    is not one of them. `ConfigurationError` when there is no such calendar, or it has no working time for more than a year.
    """
    try:
        return _due_at(opened.astimezone(UTC), wait, calendars)
    except OverflowError:
        return LAST


def _due_at(opened: datetime, wait: Wait, calendars: Calendars) -> datetime:
    if wait.seconds is not None:
        return opened + timedelta(seconds=wait.seconds)
    calendar = calendars.get(wait.calendar or "")
    if calendar is None:
        raise ConfigurationError(f'there is no calendar "{wait.calendar}"{did_you_mean(wait.calendar or "", calendars)}')
    if wait.working_days is not None:
        return _after_days(opened, wait.working_days, calendar)
    return _after_hours(opened, timedelta(hours=wait.working_hours or 0), calendar)


def _after_hours(opened: datetime, left: timedelta, calendar: Calendar) -> datetime:
    for _, spans in calendar.working_days(opened):
        for begin, end in spans:
            start = max(begin, opened)
            if end - start >= left:
                return start + left
            left -= max(timedelta(0), end - start)
    return LAST


def _after_days(opened: datetime, days: int, calendar: Calendar) -> datetime:
    today = opened.astimezone(calendar.zone).date()
    coming = (spans for day, spans in calendar.working_days(opened) if day != today)
    last = next(islice(coming, days - 1, None), None)
    return last[-1][1] if last is not None else LAST


def load_calendars(path: Path) -> Calendars:
    """Read and check the file, or raise `ConfigurationError` with file, line and a hint. No file: no calendars."""
    if not path.exists():
        return MappingProxyType({})
    written, file = load_config(path, CalendarsFile)
    return MappingProxyType({name: _calendar(name, entry, file) for name, entry in written.calendars.items()})


def _calendar(name: str, entry: CalendarEntry, file: ConfigFile) -> Calendar:
    at: Location = ("calendars", name)
    hours = _hours(entry.hours, file, (*at, "hours"))
    off = frozenset(
        date.fromordinal(day) for days in entry.days_off for day in range(days.first.toordinal(), days.last.toordinal() + 1)
    )
    return Calendar(
        name, _zone(entry.time_zone, file, (*at, "time_zone")), hours, off, _public(entry.holidays, file, (*at, "holidays"))
    )


def _zone(name: str, file: ConfigFile, at: Location) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise file.error(at, f'there is no time zone "{name}"{did_you_mean(name, available_timezones())}') from error


def _public(written: PublicHolidays | None, file: ConfigFile, at: Location) -> Mapping[date, str]:
    if written is None:
        return MappingProxyType({})
    known = holidays.list_supported_countries()
    if written.country not in known:
        raise file.error(
            (*at, "country"), f'no public holidays are known of "{written.country}"; write the country\'s code, such as DE'
        )
    if written.subdivision is not None and written.subdivision not in known[written.country]:
        hint = did_you_mean(written.subdivision, known[written.country])
        raise file.error((*at, "subdivision"), f'{written.country} has no subdivision "{written.subdivision}"{hint}')
    found: Mapping[date, str] = holidays.country_holidays(written.country, subdiv=written.subdivision)
    return found


def _hours(written: Mapping[str, str | None], file: ConfigFile, at: Location) -> tuple[tuple[Span, ...], ...]:
    for day in written:
        if day not in WEEKDAYS:
            raise file.error((*at, day), f'"{day}" is no weekday{did_you_mean(day, WEEKDAYS)}')
    hours = tuple(tuple(_spans(written.get(day) or "", file, (*at, day))) for day in WEEKDAYS)
    if not any(hours):
        raise file.error(at, "nobody ever works; write for example `monday: 09:00-17:00`")
    return hours


def _spans(text: str, file: ConfigFile, at: Location) -> Iterator[Span]:
    earlier = time.min
    for word in text.replace(",", " ").split():
        read = SPAN.fullmatch(word)
        if read is None:
            raise file.error(at, f'"{word}" is not understood; write `09:00-17:00`, or `09:00-12:00 13:00-17:00`')
        opens = time(int(read[1]), int(read[2]))
        closes = time(int(read[3]), int(read[4])) if read[3] is not None else time.max
        if not earlier <= opens < closes:
            raise file.error(at, f'"{word}" must end after it begins, and begin after the one before it')
        earlier = closes
        yield opens, closes
