"""Waits on business calendars: daylight saving, leap days, holidays and the far future come out right."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayso.contracts.approval_plan import Wait
from sayso.errors import ConfigurationError
from sayso.policy.calendars import LAST, Calendar, due_at, load_calendars

SHIPPED = Path(__file__).parents[3] / "config" / "calendars.yaml"
NINE_TO_FIVE = ((time(9), time(17)),)
WEEK = (*(NINE_TO_FIVE,) * 5, (), ())
BERLIN = {
    "office": Calendar("office", ZoneInfo("Europe/Berlin"), WEEK, frozenset({date(2026, 12, 24)}), {date(2026, 12, 25): "Christmas"})
}
ROUND_THE_CLOCK = {"always": Calendar("always", ZoneInfo("Europe/Berlin"), (((time(0), time.max),),) * 7)}
QUARTER = timedelta(minutes=15)


def at(text: str, zone: str = "Europe/Berlin") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def hours(count: float, calendar: str = "office") -> Wait:
    return Wait(working_hours=count, calendar=calendar)


def days(count: int, calendar: str = "office") -> Wait:
    return Wait(working_days=count, calendar=calendar)


@pytest.mark.parametrize(
    ("opened", "wait", "due"),
    [
        pytest.param("2026-03-02T09:00", hours(8), "2026-03-02T17:00", id="a whole day"),
        pytest.param("2026-03-02T16:00", hours(2), "2026-03-03T10:00", id="over night"),
        pytest.param("2026-03-06T16:30", hours(1), "2026-03-09T09:30", id="over the weekend"),
        pytest.param("2026-03-07T12:00", hours(0.5), "2026-03-09T09:30", id="opened on a Saturday"),
        pytest.param("2026-03-02T03:00", hours(1), "2026-03-02T10:00", id="opened before work"),
        pytest.param("2026-12-23T16:00", hours(2), "2026-12-28T10:00", id="over a day off, a holiday and a weekend"),
        pytest.param("2028-02-28T16:00", hours(9), "2028-02-29T17:00", id="on a leap day"),
        pytest.param("2026-03-02T23:59", days(1), "2026-03-03T17:00", id="the day of opening does not count"),
        pytest.param("2026-03-05T08:00", days(2), "2026-03-09T17:00", id="two days over the weekend"),
        pytest.param("2026-12-23T10:00", days(1), "2026-12-28T17:00", id="days over a holiday"),
        pytest.param("2028-02-25T10:00", days(2), "2028-02-29T17:00", id="days to a leap day"),
        pytest.param("2026-03-27T10:00", days(1), "2026-03-30T17:00", id="days over the change to summer time"),
    ],
)
def test_working_time_is_counted_within_the_hours_of_the_calendar(opened: str, wait: Wait, due: str) -> None:
    assert due_at(at(opened), wait, BERLIN) == at(due)


@pytest.mark.parametrize(("opened", "due"), [("2026-03-29T00:00", "2026-03-29T05:00"), ("2026-10-25T00:00", "2026-10-25T03:00")])
def test_an_hour_that_daylight_saving_takes_or_gives_is_counted_as_it_was(opened: str, due: str) -> None:
    assert due_at(at(opened), hours(4, "always"), ROUND_THE_CLOCK) == at(due)
    assert due_at(at(opened), Wait(seconds=4 * 3600), {}) == at(due)


def test_a_wait_by_the_clock_knows_no_calendar() -> None:
    assert due_at(at("2028-02-28T10:00"), Wait(seconds=86_400), {}) == at("2028-02-29T10:00")


def test_the_far_future_ends_with_the_last_day() -> None:
    late = datetime(9998, 12, 31, 12, tzinfo=UTC)
    assert due_at(late, Wait(seconds=86_400 * 36_500), {}) == LAST
    assert due_at(late, days(10_000), BERLIN) == LAST
    assert due_at(late, hours(1e6), BERLIN) == LAST
    assert due_at(LAST, hours(1), BERLIN) == LAST
    assert due_at(datetime(2999, 1, 1, tzinfo=UTC), days(1), load_calendars(SHIPPED)).year == 2999


def test_a_calendar_without_working_time_is_an_error_and_no_endless_search() -> None:
    off = frozenset(date(2026, 1, 1) + timedelta(days=number) for number in range(1_000))
    with pytest.raises(ConfigurationError, match="no working time in the 400 days up to 2027"):
        due_at(at("2026-01-01T00:00"), days(1), {"office": Calendar("office", ZoneInfo("UTC"), WEEK, off)})


def test_an_unknown_calendar_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match='no calendar "ofice"; did you mean "office"'):
        due_at(at("2026-01-01T00:00"), days(1, "ofice"), BERLIN)


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
DAY = st.lists(st.integers(0, 95), min_size=2, max_size=4, unique=True).map(sorted).map(lambda marks: marks[: len(marks) // 2 * 2])
MOMENTS = st.integers(0, 20 * 365 * 96).map(lambda quarters: datetime(2010, 1, 1, tzinfo=UTC) + quarters * QUARTER)


@st.composite
def calendars(draw: st.DrawFn) -> dict[str, Calendar]:
    """Any week with at least one working day."""
    week = [tuple(_spans(draw(DAY))) if draw(st.booleans()) else () for _ in range(6)]
    off = draw(st.frozensets(st.dates(date(2010, 1, 1), date(2030, 1, 1)), max_size=5))
    return {"office": Calendar("office", ZoneInfo(draw(st.sampled_from(ZONES))), (*week, tuple(_spans(draw(DAY)))), off)}


def _spans(marks: list[int]) -> list[tuple[time, time]]:
    moments = [time(mark // 4, mark % 4 * 15) for mark in marks]
    return list(zip(moments[::2], moments[1::2], strict=True))


def worked(begin: datetime, end: datetime, calendar: Calendar) -> timedelta:
    """By counting quarters of an hour, one by one, on the local clock."""
    total = timedelta(0)
    while begin < end:
        local = begin.astimezone(calendar.zone)
        if local.date() not in calendar.off and any(
            opens <= local.time() < closes for opens, closes in calendar.hours[local.weekday()]
        ):
            total += QUARTER
        begin += QUARTER
    return total


def changes_clock(begin: datetime, end: datetime, zone: ZoneInfo) -> bool:
    return (
        len({(begin + n * timedelta(hours=6)).astimezone(zone).utcoffset() for n in range((end - begin) // timedelta(hours=6) + 2)})
        > 1
    )


@given(opened=MOMENTS, quarters=st.integers(1, 60), found=calendars())
def test_as_much_was_worked_as_was_to_be_waited(opened: datetime, quarters: int, found: dict[str, Calendar]) -> None:
    due = due_at(opened, hours(quarters / 4), found)
    if not changes_clock(opened, due, found["office"].zone):  # there a span may begin within an hour that is not, or comes twice
        assert worked(opened, due, found["office"]) == quarters * QUARTER
        assert worked(opened, due - QUARTER, found["office"]) < quarters * QUARTER


@given(opened=MOMENTS, first=st.integers(1, 40), second=st.integers(1, 40), found=calendars())
def test_two_waits_after_each_other_are_as_long_as_their_sum(
    opened: datetime, first: int, second: int, found: dict[str, Calendar]
) -> None:
    at_once = due_at(opened, hours((first + second) / 4), found)
    assert due_at(due_at(opened, hours(first / 4), found), hours(second / 4), found) == at_once


@given(opened=MOMENTS, later=st.integers(0, 1_000), count=st.integers(1, 12), found=calendars())
def test_what_opens_later_is_never_due_earlier(opened: datetime, later: int, count: int, found: dict[str, Calendar]) -> None:
    for wait in (hours(count), days(count)):
        due = due_at(opened, wait, found)
        assert opened < due <= due_at(opened + later * QUARTER, wait, found)


def test_the_shipped_calendar_knows_public_holidays_and_own_days_off() -> None:
    shipped = load_calendars(SHIPPED)
    assert due_at(at("2026-12-23T10:00"), days(1), shipped) == at("2027-01-04T17:00")
    assert due_at(at("2026-04-30T10:00"), days(1), shipped) == at("2026-05-04T17:00")


GOOD = """\
calendars:
  office:
    time_zone: Europe/Berlin
    hours:
      monday: 09:00-12:00 13:00-17:00
    holidays:
      country: DE
      subdivision: BE
    days_off:
      - 2026-12-24
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Europe/Berlin", "Europe/Berln", ':3: there is no time zone "Europe/Berln"; did you mean "Europe/Berlin"?'),
        ("monday", "mondey", ':5: "mondey" is no weekday; did you mean "monday"?'),
        ("13:00-17:00", "13-17", ':5: "13-17" is not understood; write `09:00-17:00`'),
        ("13:00-17:00", "11:00-17:00", ':5: "11:00-17:00" must end after it begins, and begin after the one before it'),
        ("09:00-12:00 13:00-17:00", "", ":4: nobody ever works"),
        ("country: DE", "country: Germany", ':7: no public holidays are known of "Germany"'),
        ("subdivision: BE", "subdivision: XX", ':8: DE has no subdivision "XX"'),
        ("days_off", "dayoff", ':9: unknown field "dayoff"; did you mean "days_off"?'),
        ("2026-12-24", "{from: 2026-12-24, to: 2026-12-01}", ":10: "),
        ("2026-12-24", "2026-12-32", "not valid YAML"),
    ],
)
def test_what_is_wrong_in_calendars_names_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "calendars.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert set(load_calendars(path)) == {"office"}
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_calendars(path)
    assert "calendars.yaml" in str(caught.value)
    assert says in str(caught.value)


def test_no_file_is_no_calendar(tmp_path: Path) -> None:
    assert load_calendars(tmp_path / "calendars.yaml") == {}
