"""Intervals: days on the wall clock, the rest in absolute time, the same from any start."""

from __future__ import annotations

import pytest
from dates_of import DAILY, HOUR, every, shown

NEW_YORK = "America/New_York"
BERLIN = "Europe/Berlin"
LORD_HOWE = "Australia/Lord_Howe"
TOKYO = "Asia/Tokyo"


@pytest.mark.parametrize(
    ("zone", "anchor", "expected"),
    [
        pytest.param(
            NEW_YORK,
            "2033-03-11T09:00:00-05:00",
            ["2033-03-12 09:00-05:00", "2033-03-13 09:00-04:00", "2033-03-14 09:00-04:00"],
            id="New York in spring",
        ),
        pytest.param(
            NEW_YORK,
            "2033-11-04T09:00:00-04:00",
            ["2033-11-05 09:00-04:00", "2033-11-06 09:00-05:00", "2033-11-07 09:00-05:00"],
            id="New York in autumn",
        ),
        pytest.param(
            BERLIN,
            "2034-03-24T08:00:00+01:00",
            ["2034-03-25 08:00+01:00", "2034-03-26 08:00+02:00", "2034-03-27 08:00+02:00"],
            id="Berlin in spring",
        ),
        pytest.param(
            LORD_HOWE,
            "2030-10-04T09:00:00+10:30",
            ["2030-10-05 09:00+10:30", "2030-10-06 09:00+11:00", "2030-10-07 09:00+11:00"],
            id="Lord Howe, where the clocks move by half an hour",
        ),
        pytest.param(
            TOKYO,
            "2030-03-29T09:00:00+09:00",
            ["2030-03-30 09:00+09:00", "2030-03-31 09:00+09:00", "2030-04-01 09:00+09:00"],
            id="Tokyo, where they never move",
        ),
    ],
)
def test_a_day_keeps_the_hour_on_the_wall(zone: str, anchor: str, expected: list[str]) -> None:
    start = expected[0].split(" ", maxsplit=1)[0] + "T00:00:00"
    assert shown(every(DAILY, anchor, zone), start, 3) == expected


def test_half_a_day_is_twelve_hours_whatever_the_clocks_show() -> None:
    found = shown(every(12 * HOUR, "2033-03-12T09:00:00-05:00", NEW_YORK), "2033-03-12T14:00Z", 4)
    assert found == [
        "2033-03-12 09:00-05:00",
        "2033-03-12 21:00-05:00",
        "2033-03-13 10:00-04:00",
        "2033-03-13 22:00-04:00",
    ]


def test_a_daily_time_that_falls_into_a_gap_stays_where_it_was_moved_to() -> None:
    schedule = every(DAILY, "2033-03-11T02:30:00-05:00", NEW_YORK)
    whole = shown(schedule, "2033-03-11T00:00:00", 4)
    assert whole == [
        "2033-03-11 02:30-05:00",
        "2033-03-12 02:30-05:00",
        "2033-03-13 03:30-04:00",
        "2033-03-14 03:30-04:00",
    ]
    assert shown(schedule, "2033-03-13T12:00:00Z", 1) == whole[3:]
    assert shown(schedule, "2044-07-01T00:00:00Z", 1) == ["2044-07-01 03:30-04:00"]


def test_before_the_anchor_a_gap_moves_one_day_only() -> None:
    schedule = every(DAILY, "2033-03-20T02:30:00-04:00", NEW_YORK)
    assert shown(schedule, "2033-03-12T00:00:00", 3) == [
        "2033-03-12 02:30-05:00",
        "2033-03-13 03:30-04:00",
        "2033-03-14 02:30-04:00",
    ]
    assert shown(schedule, "2033-03-19T03:00:00", 2) == [
        "2033-03-20 02:30-04:00",
        "2033-03-21 02:30-04:00",
    ]


def test_an_hourly_schedule_fires_in_every_hour_of_a_fold() -> None:
    found = shown(every(HOUR, "2033-01-01T00:00:00Z", NEW_YORK), "2033-11-06T04:00:00Z", 4)
    assert found == [
        "2033-11-06 00:00-04:00",
        "2033-11-06 01:00-04:00",
        "2033-11-06 01:00-05:00",
        "2033-11-06 02:00-05:00",
    ]


def test_a_day_into_a_fold_takes_the_first_pass() -> None:
    found = shown(every(DAILY, "2033-11-05T01:30:00-04:00", NEW_YORK), "2033-11-05T00:00:00", 3)
    assert found == ["2033-11-05 01:30-04:00", "2033-11-06 01:30-04:00", "2033-11-07 01:30-05:00"]


def test_an_anchor_in_the_second_pass_of_a_fold_is_a_date() -> None:
    found = shown(every(DAILY, "2033-11-06T06:30:00Z", NEW_YORK), "2033-11-06T06:00:00Z", 2)
    assert found == ["2033-11-06 01:30-05:00", "2033-11-07 01:30-05:00"]


def test_a_day_and_a_half_is_a_day_on_the_wall_and_twelve_hours() -> None:
    schedule = every(36 * HOUR, "2033-03-11T20:00:00-05:00", NEW_YORK)
    assert shown(schedule, "2033-03-11T20:00:00", 3) == [
        "2033-03-11 20:00-05:00",
        "2033-03-13 09:00-04:00",
        "2033-03-14 21:00-04:00",
    ]


def test_days_and_hours_reach_back_before_the_anchor_and_through_it() -> None:
    schedule = every(36 * HOUR, "2033-03-14T20:00:00-04:00", NEW_YORK)
    assert shown(schedule, "2033-03-10T00:00:00", 4) == [
        "2033-03-10 08:00-05:00",
        "2033-03-11 20:00-05:00",
        "2033-03-13 08:00-04:00",
        "2033-03-14 20:00-04:00",
    ]


def test_a_day_that_a_zone_has_skipped_is_no_date_twice() -> None:
    # Samoa went from the 29th to the 31st of December 2011.
    found = shown(every(DAILY, "2012-01-05T10:00:00+14:00", "Pacific/Apia"), "2011-12-29T00:00", 3)
    assert found == ["2011-12-29 10:00-10:00", "2011-12-31 10:00+14:00", "2012-01-01 10:00+14:00"]


def test_leap_days_are_days() -> None:
    found = shown(every(DAILY, "2028-02-27T12:00:00Z", BERLIN), "2028-02-28T00:00:00", 3)
    assert found == ["2028-02-28 13:00+01:00", "2028-02-29 13:00+01:00", "2028-03-01 13:00+01:00"]


def test_the_fraction_of_a_second_of_the_anchor_is_kept() -> None:
    found = shown(every(60, "2026-11-21T08:00:45.652000Z"), "2030-01-01T00:00:00Z", 2)
    assert found == ["2030-01-01 00:00:45.652000+00:00", "2030-01-01 00:01:45.652000+00:00"]


def test_intervals_below_a_second_do_not_drift() -> None:
    found = shown(every(0.1, "2026-01-01T00:00:00Z"), "2026-06-01T00:00:00.050Z", 2)
    assert found == ["2026-06-01 00:00:00.100000+00:00", "2026-06-01 00:00:00.200000+00:00"]


@pytest.mark.parametrize("start", ["2020-05-05T05:05:05Z", "2029-05-05T05:05:05Z"])
@pytest.mark.parametrize("seconds", [7.0, HOUR, DAILY, 36 * HOUR])
def test_a_start_on_a_date_is_included_and_so_is_the_end(start: str, seconds: float) -> None:
    schedule = every(seconds, "2025-01-01T00:00:00Z", BERLIN)
    first, second = shown(schedule, start, 2)
    assert shown(schedule, first, end=second) == [first, second]


def test_a_zone_takes_a_bound_without_one_for_its_own() -> None:
    found = shown(every(HOUR, "2030-01-01T00:00:00Z", TOKYO), "2030-05-01T09:00:00", 1)
    assert found == ["2030-05-01 09:00+09:00"]
