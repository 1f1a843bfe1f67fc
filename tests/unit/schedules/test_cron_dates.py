"""Cron: followed on the wall clock, then turned into moments, the same from any start."""

from __future__ import annotations

import pytest
from dates_of import cron, shown

NEW_YORK = "America/New_York"
BERLIN = "Europe/Berlin"
LORD_HOWE = "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("30 2 * * 1,3", "2034-05-01", ["2034-05-01 02:30", "2034-05-03 02:30"]),
        ("0 0 L * *", "2028-02-01", ["2028-02-29 00:00", "2028-03-31 00:00"]),
        ("0 0 29 2 *", "2027-01-01", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 31 * *", "2030-02-01", ["2030-03-31 00:00", "2030-05-31 00:00"]),
        ("0 12 * * 1#2", "2030-01-01", ["2030-01-14 12:00", "2030-02-11 12:00"]),
        ("0 12 * * L5", "2030-01-01", ["2030-01-25 12:00", "2030-02-22 12:00"]),
        ("@monthly", "2030-01-02", ["2030-02-01 00:00", "2030-03-01 00:00"]),
        ("@daily", "2030-01-02", ["2030-01-02 00:00", "2030-01-03 00:00"]),
        ("*/5 9-17 * JAN-MAR MON", "2030-03-25T17:54", ["2030-03-25 17:55", "2031-01-06 09:00"]),
        ("59 23 * * * 58", "2030-01-01", ["2030-01-01 23:59:58", "2030-01-02 23:59:58"]),
        ("0 0 1 1 * 0 2035", "2030-01-01", ["2035-01-01 00:00"]),
        ("0 0 31 2 *", "2030-01-01", []),
    ],
)
def test_expressions_in_utc(expression: str, start: str, expected: list[str]) -> None:
    assert shown(cron(expression), start, 2) == [f"{date}+00:00" for date in expected]


def test_a_day_matches_by_date_or_weekday_or_by_both() -> None:
    either = shown(cron("0 0 13 * 5"), "2034-01-01", end="2034-01-31")
    assert either == [f"2034-01-{day:02} 00:00+00:00" for day in (6, 13, 20, 27)]
    both = shown(cron("0 0 13 * 5", day_or=False), "2034-01-01", end="2034-12-31")
    assert both == ["2034-01-13 00:00+00:00", "2034-10-13 00:00+00:00"]


@pytest.mark.parametrize(
    ("zone", "start", "expected"),
    [
        (
            NEW_YORK,
            "2033-03-12T00:00",
            ["2033-03-12 02:30-05:00", "2033-03-13 03:30-04:00", "2033-03-14 02:30-04:00"],
        ),
        (
            BERLIN,
            "2034-03-25T00:00",
            ["2034-03-25 02:30+01:00", "2034-03-26 03:30+02:00", "2034-03-27 02:30+02:00"],
        ),
        (
            "Asia/Tokyo",
            "2034-03-25T00:00",
            ["2034-03-25 02:30+09:00", "2034-03-26 02:30+09:00", "2034-03-27 02:30+09:00"],
        ),
    ],
)
def test_a_time_in_a_gap_is_moved_on_that_day_only(
    zone: str, start: str, expected: list[str]
) -> None:
    assert shown(cron("30 2 * * *", zone), start, 3) == expected


def test_a_gap_of_half_an_hour_moves_by_half_an_hour() -> None:
    found = shown(cron("15 2 * * *", LORD_HOWE), "2030-10-05T00:00", 3)
    assert found == ["2030-10-05 02:15+10:30", "2030-10-06 02:45+11:00", "2030-10-07 02:15+11:00"]


def test_dates_moved_out_of_a_gap_come_in_their_order() -> None:
    found = shown(cron("20,35 2 * * *", LORD_HOWE), "2030-10-06T00:00", 2)
    assert found == ["2030-10-06 02:35+11:00", "2030-10-06 02:50+11:00"]


def test_the_hour_of_a_gap_is_no_date_twice() -> None:
    found = shown(cron("@hourly", NEW_YORK), "2033-03-13T01:00", 3)
    assert found == ["2033-03-13 01:00-05:00", "2033-03-13 03:00-04:00", "2033-03-13 04:00-04:00"]


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("2033-03-13T07:10:00Z", "2033-03-13 03:30-04:00"),
        ("2033-03-13T07:30:00Z", "2033-03-13 03:30-04:00"),
        ("2033-03-13T07:30:01Z", "2033-03-14 02:30-04:00"),
    ],
)
def test_a_start_just_after_a_gap_finds_what_was_moved_beyond_it(start: str, first: str) -> None:
    assert shown(cron("30 2 * * *", NEW_YORK), start, 1) == [first]


def test_only_the_first_pass_through_a_fold_counts() -> None:
    found = shown(cron("@hourly", NEW_YORK), "2033-11-06T00:00:00", 3)
    assert found == ["2033-11-06 00:00-04:00", "2033-11-06 01:00-04:00", "2033-11-06 02:00-05:00"]


@pytest.mark.parametrize("minute", [0, 29, 30, 59])
def test_a_start_in_the_second_pass_adds_no_date(minute: int) -> None:
    start = f"2033-11-06T06:{minute:02}:00Z"
    assert shown(cron("30 * * * *", NEW_YORK), start, 1) == ["2033-11-06 02:30-05:00"]


def test_a_start_in_the_first_pass_still_finds_its_dates() -> None:
    found = shown(cron("30 1 * * *", NEW_YORK), "2033-11-06T05:30:00Z", 2)
    assert found == ["2033-11-06 01:30-04:00", "2033-11-07 01:30-05:00"]


def test_a_schedule_by_the_second_passes_a_fold_without_counting_it_through() -> None:
    found = shown(cron("* * * * * *", NEW_YORK), "2033-11-06T06:00:00Z", 2)
    assert found == ["2033-11-06 02:00-05:00", "2033-11-06 02:00:01-05:00"]


def test_a_start_within_a_second_waits_for_the_next_one() -> None:
    assert shown(cron("* * * * * *"), "2030-01-01T00:00:00.000001Z", 1) == [
        "2030-01-01 00:00:01+00:00"
    ]
    assert shown(cron("* * * * * *"), "2030-01-01T00:00:00Z", 1) == ["2030-01-01 00:00+00:00"]


def test_the_empty_zone_means_utc() -> None:
    assert shown(cron("@daily", ""), "2030-01-01", 1) == ["2030-01-01 00:00+00:00"]


def test_the_calendar_ends() -> None:
    assert shown(cron("@yearly"), "9998-06-01", 5) == ["9999-01-01 00:00+00:00"]
