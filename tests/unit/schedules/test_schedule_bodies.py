"""What a request may say of a schedule, what is stored, and what is told of a mistake."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.schema.errors import InvalidRequest
from lictor.schema.rules.schedules.validation import check_cron, check_rrule
from lictor.schema.wire.decode import BodyDecoder
from lictor.schema.wire.schedules import Schedule, ScheduleBody, stored

NOW = datetime(2026, 11, 21, 8, 10, 30, tzinfo=UTC)
DECODE: BodyDecoder[list[ScheduleBody]] = BodyDecoder(list[ScheduleBody])


def made(body: dict[str, Any]) -> Schedule:
    return DECODE(msgspec.json.encode([body]))[0].schedule(NOW)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"cron": "@daily"}, {"cron": "@daily", "timezone": None, "day_or": True}),
        (
            {"cron": "0 0 1 1 *", "timezone": "EST", "day_or": False},
            {"cron": "0 0 1 1 *", "timezone": "EST", "day_or": False},
        ),
        (
            {"interval": 90.5},
            {"interval": 90.5, "anchor_date": "2026-11-21T08:10:30.000000Z", "timezone": "UTC"},
        ),
        (
            {"interval": "PT1H30M", "timezone": None, "anchor_date": "2030-01-01T00:00:00"},
            {"interval": 5400.0, "anchor_date": "2030-01-01T00:00:00.000000Z", "timezone": "UTC"},
        ),
        (
            {"interval": "P1M", "anchor_date": "2030-06-01T12:00:00+02:00", "timezone": "NZ"},
            {
                "interval": 2_592_000.0,
                "anchor_date": "2030-06-01T10:00:00.000000Z",
                "timezone": "NZ",
            },
        ),
        (
            {"interval": "00:01:30", "anchor_date": "2030-06-01T12:00:00Z"},
            {"interval": 90.0, "anchor_date": "2030-06-01T12:00:00.000000Z", "timezone": "UTC"},
        ),
        (
            {"rrule": "FREQ=DAILY"},
            {"rrule": "DTSTART:20200101T000000\nFREQ=DAILY", "timezone": "UTC"},
        ),
        (
            {"rrule": "DTSTART:20300101T090000\nFREQ=DAILY", "timezone": None},
            {"rrule": "DTSTART:20300101T090000\nFREQ=DAILY", "timezone": None},
        ),
    ],
)
def test_what_is_stored_of_a_request(body: dict[str, Any], expected: dict[str, Any]) -> None:
    schedule = made(body)
    text = msgspec.json.encode(schedule)
    assert msgspec.json.decode(text) == expected
    assert stored(text) == schedule


INTERVAL, CRON, RRULE = "IntervalSchedule", "CronSchedule", "RRuleSchedule"


@pytest.mark.parametrize(
    ("body", "place", "said"),
    [
        ({"cron": "* * * *"}, (CRON, "cron"), "it has 4 fields and needs 5"),
        ({"cron": "60 * * * *"}, (CRON, "cron"), 'the minute cannot be "60"'),
        ({"cron": "0 0 * FOO *"}, (CRON, "cron"), 'the month cannot be "FOO"'),
        ({"cron": "@reboot"}, (CRON, "cron"), "the nicknames are @hourly"),
        ({"cron": "r r * * *"}, (CRON, "cron"), "Random and Hashed"),
        ({"cron": "0 0,R(1-9) * * *"}, (CRON, "cron"), "Random and Hashed"),
        ({"cron": "0 0 15W * *"}, (CRON, "cron"), "the nearest weekday, W, is unsupported"),
        ({"cron": "0 0 * * 7 30"}, (CRON, "cron"), "Sunday is 0 and not 7"),
        ({"cron": "0 0 * * 1,5-7 30"}, (CRON, "cron"), "Sunday is 0 and not 7"),
        ({"cron": "0 0 * * *", "timezone": "Mars/X"}, (CRON, "timezone"), '"Mars/X"'),
        ({"cron": "@daily", "day_or": None}, (CRON, "day_or"), "boolean"),
        ({"interval": 0}, (INTERVAL, "interval"), "must be positive"),
        ({"interval": -60}, (INTERVAL, "interval"), "must be positive"),
        ({"interval": 1e-7}, (INTERVAL, "interval"), "must be positive"),
        ({"interval": "60"}, (INTERVAL, "interval"), "invalid format"),
        ({"interval": "1:30"}, (INTERVAL, "interval"), "invalid format"),
        ({"interval": None}, (INTERVAL, "interval"), "valid timedelta"),
        ({"interval": 60, "anchor_date": None}, (INTERVAL, "anchor_date"), "valid datetime"),
        ({"interval": 60, "timezone": "America"}, (INTERVAL, "timezone"), '"America"'),
        ({"interval": 60, "timezone": "posix/UTC"}, (INTERVAL, "timezone"), '"posix/UTC"'),
        ({"interval": 60, "timezone": "../UTC"}, (INTERVAL, "timezone"), '"../UTC"'),
        ({"interval": 60, "extra": 1}, (INTERVAL, "extra"), "not permitted"),
        ({"interval": 60, "cron": "@daily"}, (INTERVAL, "cron"), "beside interval"),
        ({"cron": "@daily", "anchor_date": "2030-01-01"}, (CRON, "anchor_date"), "beside cron"),
        ({"rrule": ""}, (RRULE, "rrule"), "empty string"),
        ({"rrule": "nonsense"}, (RRULE, "rrule"), '"nonsense" is not of the form NAME=VALUE'),
        ({"rrule": "FREQ=SOMETIMES"}, (RRULE, "rrule"), "invalid 'FREQ': SOMETIMES"),
        ({"rrule": "FREQ=DAILY;BYHOUR=25"}, (RRULE, "rrule"), "hour must be in 0..23"),
        ({"rrule": "FREQ=DAILY;INTERVAL=0"}, (RRULE, "rrule"), "INTERVAL must be at least 1"),
        ({"rrule": "x" * 6501}, (RRULE, "rrule"), "at most 6500 characters, got 6501"),
        ({"rrule": "FREQ=DAILY", "timezone": ""}, (RRULE, "timezone"), "Invalid timezone"),
        ({}, ("Schedule",), "one of interval, cron and rrule"),
        ({"unknown": 1}, ("Schedule", "unknown"), "not permitted"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    body: dict[str, Any], place: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made(body)
    (error,) = refused.value.errors
    assert error.loc == ("body", 0, *place)
    assert said in error.msg


@pytest.mark.parametrize("text", ["0 0 * * 7", "0 0 * * 5-7", "0 0 * * 0 7", "0 0 L * 5#3 7 2030"])
def test_a_seven_that_clients_understand_is_taken(text: str) -> None:
    check_cron(text)


def test_a_rule_of_exactly_the_greatest_length_is_taken() -> None:
    text = "DTSTART:20300101T000000\nRDATE:" + ",".join(["20300101T000000"] * 404)
    text += " " * (6500 - len(text))
    check_rrule(text)


@given(st.text("0123456789*/-,#LWRH@? \u0661xSUNmon()", max_size=30))
def test_any_cron_text_is_taken_or_refused(text: str) -> None:
    with suppress(ValueError):
        check_cron(text)


@given(st.text("FREQ=DAILYSECONDL;INTERVAL=-0123\n:RUETXBYHOU,MONTHSZ+.", max_size=40))
def test_any_rule_text_is_taken_or_refused(text: str) -> None:
    for prefix in ("", "FREQ=DAILY;", "RDATE:", "DTSTART:20300101T000000\nRRULE:FREQ=WEEKLY;"):
        with suppress(ValueError):
            check_rrule(prefix + text)


def test_the_libraries_are_loaded_with_the_first_schedule_that_needs_them() -> None:
    program = (
        "import sys, lictor.schema.wire.schedules, lictor.schema.rules.schedules.dates;"
        "sys.exit(bool({'croniter', 'dateutil'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
