"""Recurrence rules: wall times of the schedule's zone, whatever zone their text names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from dates_of import rule, shown

from lictor.schema.rules.schedules import rrule, zones

NEW_YORK = "America/New_York"
BERLIN = "Europe/Berlin"
LORD_HOWE = "Australia/Lord_Howe"


def test_a_count_ends_the_dates() -> None:
    counted = rule("DTSTART:20340201T000000Z\nFREQ=DAILY;COUNT=4")
    assert shown(counted, "2034-02-02T00:00:00Z", 20) == [
        f"2034-02-{day:02} 00:00+00:00" for day in (2, 3, 4)
    ]


def test_an_until_is_included() -> None:
    bounded = rule("DTSTART:20340201T000000Z\nFREQ=DAILY;UNTIL=20340203T000000Z")
    assert shown(bounded, "2034-01-15T00:00:00Z", 20) == [
        f"2034-02-{day:02} 00:00+00:00" for day in (1, 2, 3)
    ]


def test_the_last_friday_of_each_month() -> None:
    found = shown(
        rule("DTSTART:20340101T060000\nFREQ=MONTHLY;BYDAY=-1FR", "Asia/Tokyo"), "2034-01-01", 3
    )
    assert found == ["2034-01-27 06:00+09:00", "2034-02-24 06:00+09:00", "2034-03-31 06:00+09:00"]


def test_months_without_the_day_are_left_out() -> None:
    found = shown(rule("DTSTART:20300131T120000\nFREQ=MONTHLY"), "2030-01-31T12:00:00Z", 3)
    assert found == ["2030-01-31 12:00+00:00", "2030-03-31 12:00+00:00", "2030-05-31 12:00+00:00"]


def test_years_without_the_leap_day_are_left_out() -> None:
    found = shown(rule("DTSTART:20200229T120000\nFREQ=YEARLY"), "2025-01-01T00:00:00Z", 2)
    assert found == ["2028-02-29 12:00+00:00", "2032-02-29 12:00+00:00"]


def test_a_set_adds_and_takes_away_dates() -> None:
    found = shown(
        rule(
            "DTSTART:20300101T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,WE"
            "\nEXRULE:FREQ=MONTHLY;BYMONTHDAY=9"
            "\nRDATE:20300105T100000\nEXDATE:20300107T090000",
            BERLIN,
        ),
        "2030-01-01T00:00:00",
        4,
    )
    assert found == [
        "2030-01-02 09:00+01:00",
        "2030-01-05 10:00+01:00",
        "2030-01-14 09:00+01:00",
        "2030-01-16 09:00+01:00",
    ]


@pytest.mark.parametrize("start", ["DTSTART:20300101T090000Z", "DTSTART:20300101T090000"])
def test_an_excluded_date_is_one_in_utc_or_without_a_zone(start: str) -> None:
    excluding = rule(f"{start}\nRRULE:FREQ=DAILY\nEXDATE:20300102T090000Z", NEW_YORK)
    found = shown(excluding, "2030-01-01T00:00:00", 2)
    assert found == ["2030-01-01 09:00-05:00", "2030-01-03 09:00-05:00"]


def test_the_zone_of_the_schedule_outweighs_that_of_the_text() -> None:
    text = "DTSTART;TZID=Asia/Tokyo:20330311T090000\nRRULE:FREQ=DAILY;UNTIL=20330313T090000Z"
    assert shown(rule(text, NEW_YORK), "2033-01-01T00:00:00", 9) == [
        "2033-03-11 09:00-05:00",
        "2033-03-12 09:00-05:00",
        "2033-03-13 09:00-04:00",
    ]


def test_a_time_in_a_gap_is_moved_back_by_it() -> None:
    found = shown(rule("DTSTART:20330312T023000\nFREQ=DAILY", NEW_YORK), "2033-03-12T00:00", 3)
    assert found == ["2033-03-12 02:30-05:00", "2033-03-13 01:30-05:00", "2033-03-14 02:30-04:00"]


def test_dates_moved_out_of_a_gap_come_in_their_order_and_once() -> None:
    found = shown(
        rule("DTSTART:20301001T000000\nFREQ=MINUTELY;INTERVAL=10", LORD_HOWE), "2030-10-06T01:40", 4
    )
    assert found == [
        "2030-10-06 01:40+10:30",
        "2030-10-06 01:50+10:30",
        "2030-10-06 02:30+11:00",
        "2030-10-06 02:40+11:00",
    ]
    mixed = rule("DTSTART:20301006T000000\nFREQ=DAILY;BYHOUR=1,2;BYMINUTE=15,40,50", LORD_HOWE)
    assert shown(mixed, "2030-10-06T01:35", 4) == [
        "2030-10-06 01:40+10:30",
        "2030-10-06 01:45+10:30",
        "2030-10-06 01:50+10:30",
        "2030-10-06 02:40+11:00",
    ]


def test_a_time_in_a_fold_is_its_first_pass() -> None:
    found = shown(rule("DTSTART:20331101T013000\nFREQ=DAILY", NEW_YORK), "2033-11-06T00:00", 2)
    assert found == ["2033-11-06 01:30-04:00", "2033-11-07 01:30-05:00"]


@pytest.mark.parametrize(
    ("parts", "start", "first"),
    [
        ("FREQ=SECONDLY;INTERVAL=7", "2039-12-31T23:59:59", "2040-01-01 00:00:04+00:00"),
        ("FREQ=MINUTELY;INTERVAL=7", "2040-01-01T00:00:00", "2040-01-01 00:01+00:00"),
        ("FREQ=HOURLY;INTERVAL=5;BYHOUR=3", "2040-01-01T00:00:00", "2040-01-04 03:00+00:00"),
        ("FREQ=SECONDLY;COUNT=1000000000", "2040-01-01T00:00:00", "2040-01-01 00:00+00:00"),
        ("FREQ=WEEKLY;INTERVAL=3", "2040-01-01T00:00:00", "2040-01-04 00:00+00:00"),
    ],
)
def test_a_start_decades_after_the_first_date_is_reached_at_once(
    parts: str, start: str, first: str
) -> None:
    assert shown(rule(f"DTSTART:20200101T000000\n{parts}"), start, 1) == [first]


def test_a_count_is_kept_when_its_beginning_is_jumped_over() -> None:
    minutes = rule("DTSTART:20300101T000000\nFREQ=MINUTELY;COUNT=10000")
    last = "2030-01-07 22:39+00:00"
    assert shown(minutes, "2030-01-07T22:38:30", 5) == [last]
    assert shown(minutes, "2030-01-07T22:39:30", 5) == []
    assert shown(minutes, "2033-01-01T00:00:00", 5) == []


@pytest.mark.parametrize(
    "parts",
    [
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH,SU;BYSETPOS=2;WKST=SU",
        "FREQ=DAILY;INTERVAL=3;BYHOUR=1,5,9;BYSETPOS=-1",
        "FREQ=HOURLY;INTERVAL=5;BYDAY=TU,SA",
        "FREQ=DAILY;BYMONTH=2,7;COUNT=60",
        "FREQ=DAILY;INTERVAL=9;COUNT=200",
        "FREQ=HOURLY;BYHOUR=4,16;UNTIL=20300601T000000",
    ],
)
def test_jumping_ahead_changes_no_date(parts: str) -> None:
    text = f"DTSTART:20290203T013000\nRRULE:{parts}"
    walked = list(rrule.parsed(text).between(datetime(2030, 3, 4), datetime(2030, 9, 1), inc=True))
    utc = zones.zone("UTC")
    jumped = []
    for moment in rrule.moments(text, utc, datetime(2030, 3, 4, tzinfo=UTC)):
        if moment > datetime(2030, 9, 1, tzinfo=UTC):
            break
        jumped.append(moment.replace(tzinfo=None))
    assert jumped == walked


@pytest.mark.parametrize(
    "parts",
    [
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=HOURLY;BYDAY=TU;BYSETPOS=2",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
    ],
)
def test_the_search_for_a_date_that_never_comes_is_given_up(
    parts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rrule, "DAYS_LOOKED_AT_MAX", 1000)
    assert shown(rule(f"DTSTART:20300107T000000\n{parts}"), "2030-02-01", 1) == []


def test_a_rule_for_some_months_is_searched_for_years() -> None:
    rare = rule("DTSTART:20300101T000000\nFREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=5")
    found = shown(rare, "2030-02-01T00:00:00", 2)
    assert found == ["2032-02-29 05:00+00:00", "2036-02-29 05:00+00:00"]


NOW = datetime(2026, 11, 21, 8, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=2", "UTC", "DTSTART:20200101T000000\nFREQ=DAILY;INTERVAL=2"),
        ("FREQ=MINUTELY", NEW_YORK, "DTSTART:20261121T031000\nFREQ=MINUTELY"),
        ("FREQ=SECONDLY;INTERVAL=20", "UTC", "DTSTART:20261121T081020\nFREQ=SECONDLY;INTERVAL=20"),
        ("FREQ=MINUTELY;COUNT=3", "UTC", "DTSTART:20200101T000000\nFREQ=MINUTELY;COUNT=3"),
        (
            "RRULE:FREQ=MINUTELY\nEXDATE:20300101T000000",
            "UTC",
            "DTSTART:20200101T000000\nRRULE:FREQ=MINUTELY\nEXDATE:20300101T000000",
        ),
        ("DTSTART:20300101T090000\nFREQ=DAILY", "UTC", "DTSTART:20300101T090000\nFREQ=DAILY"),
        ("dtstart:20300101T090000\nFREQ=DAILY", "UTC", "dtstart:20300101T090000\nFREQ=DAILY"),
        ("FREQ=DAILY;UNTIL=20300101T000000Z", "UTC", "FREQ=DAILY;UNTIL=20300101T000000Z"),
    ],
)
def test_a_rule_without_a_start_gets_one(text: str, zone: str, expected: str) -> None:
    assert rrule.with_start(text, zones.zone(zone), NOW) == expected


def test_before_2020_a_rule_by_the_minute_begins_in_2020() -> None:
    early = datetime(2019, 6, 1, tzinfo=UTC)
    given = rrule.with_start("FREQ=MINUTELY", zones.zone("UTC"), early)
    assert given == "DTSTART:20200101T000000\nFREQ=MINUTELY"


def test_a_stored_rule_without_a_start_begins_in_2020() -> None:
    assert shown(rule("FREQ=DAILY;COUNT=3"), "2019-06-01", 9) == [
        f"2020-01-0{day} 00:00+00:00" for day in (1, 2, 3)
    ]
    assert shown(rule("FREQ=DAILY;UNTIL=20300101T000000Z", None), "2029-12-31", 9) == [
        "2029-12-31 00:00+00:00",
        "2030-01-01 00:00+00:00",
    ]


def test_a_rule_by_seconds_is_followed_from_where_its_dates_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed: list[datetime] = []
    moments_back = zones.moments_back

    def counted(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
        return moments_back((followed.append(wall) or wall for wall in walls), zone)

    monkeypatch.setattr(zones, "moments_back", counted)
    by_seconds = rule("DTSTART:20340601T000000\nFREQ=SECONDLY", BERLIN)
    assert shown(by_seconds, "2034-07-01T10:00:00Z", 2) == [
        "2034-07-01 12:00+02:00",
        "2034-07-01 12:00:01+02:00",
    ]
    assert len(followed) <= 3


@pytest.mark.parametrize(
    ("start", "is_near"),
    [
        ("2034-03-23T00:00:00+00:00", False),
        ("2034-03-25T00:00:00+00:00", True),
        ("2034-03-27T00:00:00+00:00", True),
        ("2034-03-29T00:00:00+00:00", False),
    ],
)
def test_a_change_of_clocks_is_near_for_two_days(start: str, is_near: bool) -> None:
    assert zones.is_changed_near(datetime.fromisoformat(start), ZoneInfo(BERLIN)) is is_near
