"""What holds for the dates of every schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lictor.schema import times
from lictor.schema.rules.schedules.dates import DATES_DEFAULT, DATES_MAX, dates, upcoming
from lictor.schema.wire.schedules import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
    "Africa/Casablanca",
    "Pacific/Apia",
]
zones = st.sampled_from(ZONES)
# Dense around the days on which clocks are changed.
moments = st.one_of(
    st.datetimes(datetime(2008, 1, 1), datetime(2035, 1, 1)),
    st.builds(
        lambda day, minutes: day + timedelta(minutes=minutes),
        st.sampled_from(
            [
                datetime(2030, 3, 10),
                datetime(2030, 3, 31),
                datetime(2030, 11, 3),
                datetime(2030, 10, 27),
                datetime(2030, 10, 5, 12),
                datetime(2030, 4, 6, 12),
                datetime(2011, 12, 30),
            ]
        ),
        st.integers(-600, 1440),
    ),
).map(lambda moment: moment.replace(tzinfo=UTC))

intervals = st.builds(
    IntervalSchedule,
    st.one_of(
        st.sampled_from([1.0, 900.0, 3600.0, 86400.0, 129600.0, 172800.0, 604800.0]),
        st.integers(1, 2_000_000_000).map(lambda tenths: tenths / 1000),
    ),
    moments.map(times.text),
    zones,
)
crons = st.builds(
    CronSchedule,
    st.tuples(
        st.sampled_from(["*", "0", "30", "*/20", "15,45"]),
        st.sampled_from(["*", "1", "2", "2,3", "*/6"]),
        st.sampled_from(["*", "*", "1", "L"]),
        st.sampled_from(["*", "*", "3,10"]),
        st.sampled_from(["*", "*", "SUN"]),
    ).map(" ".join),
    zones,
    st.booleans(),
)
rules = st.builds(
    lambda start, parts, zone: RRuleSchedule(f"DTSTART:{start:%Y%m%dT%H%M%S}\n{parts}", zone),
    st.datetimes(datetime(2028, 1, 1), datetime(2031, 1, 1)),
    st.sampled_from(
        [
            "FREQ=DAILY",
            "FREQ=HOURLY;INTERVAL=7",
            "FREQ=MINUTELY;INTERVAL=10",
            "FREQ=WEEKLY;BYDAY=SU,MO;BYHOUR=1,2,3;BYMINUTE=0,30",
            "FREQ=MONTHLY;BYMONTHDAY=-1,31;COUNT=40",
        ]
    ),
    zones,
)
schedules = st.one_of(intervals, crons, rules)


@settings(max_examples=150, deadline=None)
@given(schedules, moments, st.integers(0, 30), st.integers(1, 20))
def test_dates_ascend_within_their_bounds(
    schedule: Schedule, start: datetime, days: int, n: int
) -> None:
    end = start + timedelta(days=days)
    found = dates(schedule, start, end, n)
    moments = [date.astimezone(UTC) for date in found]
    assert moments == sorted(set(moments))
    assert len(found) <= n
    assert all(start <= moment <= end for moment in moments)


@settings(max_examples=150, deadline=None)
@given(schedules, moments, st.data())
def test_the_dates_are_the_same_from_any_start(
    schedule: Schedule, start: datetime, data: st.DataObject
) -> None:
    found = [date.astimezone(UTC) for date in dates(schedule, start, n=12)]
    if len(found) < 2:
        return
    position = data.draw(st.integers(1, len(found) - 1))
    before, date = found[position - 1 : position + 1]
    later = data.draw(st.floats(0, 1)) * (date - before) + before
    later = min(max(later, before + timedelta(microseconds=1)), date)
    again = dates(schedule, later, n=len(found))
    rest = found[position:]
    assert [date.astimezone(UTC) for date in again[: len(rest)]] == rest


@pytest.mark.parametrize(
    "schedule",
    [
        IntervalSchedule(60.0, "2030-01-01T00:00:00.000000Z"),
        CronSchedule("* * * * *"),
        RRuleSchedule("DTSTART:20300101T000000\nFREQ=MINUTELY"),
    ],
)
def test_how_many_dates_there_are(schedule: Schedule) -> None:
    start = datetime(2030, 6, 1, tzinfo=UTC)
    end = start + timedelta(days=2)
    assert len(dates(schedule, start)) == 1
    assert len(dates(schedule, start, n=0)) == 1
    assert len(dates(schedule, start, end)) == DATES_DEFAULT
    assert len(dates(schedule, start, n=10**9)) == DATES_MAX
    assert dates(schedule, start, start - timedelta(seconds=1), 5) == []


def test_dates_are_made_as_they_are_taken_up_to_the_end_of_the_calendar() -> None:
    start = datetime(9999, 12, 30, tzinfo=UTC)
    daily = IntervalSchedule(86400.0, "2030-01-01T12:00:00.000000Z", "Europe/Berlin")
    for schedule in (
        daily,
        IntervalSchedule(86400.0, "2030-01-01T12:00:00.000000Z"),
        CronSchedule("0 12 * * *"),
        RRuleSchedule("FREQ=DAILY;BYHOUR=12"),
    ):
        assert [date.day for date in upcoming(schedule, start, n=9)] == [30, 31]
