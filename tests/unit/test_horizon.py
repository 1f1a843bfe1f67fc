"""How far ahead schedules make runs, when they are looked at again, and which missed runs count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lictor.schema.rules.catch_up import MissedRun, Policy, policy, skipped
from lictor.schema.rules.horizon import Bounds, dates_ahead, next_look
from lictor.schema.wire.schedules import CronSchedule, IntervalSchedule

NOW = datetime(2027, 1, 15, 8, 30, tzinfo=UTC)
HOUR_S = 3600.0


def reach(**changes: object) -> Bounds:
    usual = Bounds(NOW, NOW + timedelta(days=100), HOUR_S, 3, 100)
    return usual._replace(**changes)


def every(seconds: float) -> IntervalSchedule:
    return IntervalSchedule(seconds, "2027-01-15T00:00:00.000000Z")


@pytest.mark.parametrize(
    ("seconds", "runs"), [(60, 61), (7200, 3), (86_400 * 40, 2), (1, 100), (1800, 3)]
)
def test_a_schedule_has_as_many_runs_as_both_minimums_and_both_maximums_say(
    seconds: float, runs: int
) -> None:
    assert len(dates_ahead(every(seconds), reach())) == runs


@pytest.mark.parametrize("least", [0, -5])
def test_without_a_minimum_one_date_is_enough(least: int) -> None:
    assert len(dates_ahead(every(60), reach(runs_min=least, ahead_min_s=0.0))) == 1


def test_dates_go_on_behind_those_made() -> None:
    made = dates_ahead(CronSchedule("0 * * * *"), reach())
    later = reach(start=NOW + timedelta(hours=1), end=NOW + timedelta(days=100))
    assert dates_ahead(CronSchedule("0 * * * *"), later, made) == [made[-1] + timedelta(hours=1)]
    assert dates_ahead(CronSchedule("0 * * * *"), reach(), made) == []


def test_the_next_look_is_when_a_run_begins_and_too_few_are_left() -> None:
    made = dates_ahead(CronSchedule("0 * * * *"), reach())
    look = next_look(reach(), made, 60)
    assert look == made[0] + timedelta(microseconds=1)
    assert dates_ahead(CronSchedule("0 * * * *"), reach(start=look), made) != []


def test_a_look_at_the_very_moment_of_a_run_is_followed_by_one_right_after_it() -> None:
    made = dates_ahead(CronSchedule("0 * * * *"), reach())
    sharp = reach(start=made[0])
    assert dates_ahead(CronSchedule("0 * * * *"), sharp, made) == []
    assert next_look(sharp, made, 60) == made[0] + timedelta(microseconds=1)


def test_clocks_that_are_put_forward_do_not_put_off_the_next_look() -> None:
    now = datetime(2026, 3, 29, 0, 41, tzinfo=UTC)
    bounds = Bounds(now, now + timedelta(days=1), 240.0, 1, 100)
    made = dates_ahead(CronSchedule("*/15 * * * *", "Europe/Berlin"), bounds)
    [*_, last] = made
    assert last.utcoffset() == timedelta(hours=1)
    later = bounds._replace(start=now + timedelta(minutes=5))
    made = dates_ahead(CronSchedule("*/15 * * * *", "Europe/Berlin"), later, made)
    assert [date.utcoffset() for date in made] == [timedelta(hours=2)]
    look = next_look(later, made, 60)
    assert look == datetime(2026, 3, 29, 0, 56, 0, 1, tzinfo=UTC)


def test_a_reach_that_is_too_short_is_looked_at_before_half_of_it_is_over() -> None:
    made = dates_ahead(every(1), reach())
    assert next_look(reach(), made, 60) == NOW + (made[-1] - NOW) / 2
    assert next_look(reach(), made, 10) == NOW + timedelta(seconds=10)


@pytest.mark.parametrize("made", [[], [NOW - timedelta(days=1)] * 3])
def test_a_schedule_that_is_over_is_looked_at_once_a_day(made: list[datetime]) -> None:
    assert next_look(reach(), made, 60) == NOW + timedelta(days=1)


MISSED = [
    MissedRun("a1", "a", "2027-01-15T08:00:00.000000Z"),
    MissedRun("a2", "a", "2027-01-15T08:20:00.000000Z"),
    MissedRun("b1", "b", "2027-01-15T08:10:00.000000Z"),
]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [("all", []), ("none", ["a1", "a2", "b1"]), ("latest", ["a1"]), (900.0, ["a1", "b1"])],
)
def test_the_policy_says_which_missed_runs_are_skipped(wanted: Policy, ids: list[str]) -> None:
    assert [each.run_id for each in skipped(wanted, MISSED, "2027-01-15T08:30:00.000000Z")] == ids


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ("latest", "latest"), ("none", "none"), ("all", "all"), (None, "all"), ("often", "all"),
        ("3600", 3600.0), (90, 90.0), (True, "all"), ("-1", "all"), ("nan", "all"),
    ],
)  # fmt: skip
def test_a_label_that_names_no_policy_means_all(label: object, wanted: Policy) -> None:
    assert policy(label) == wanted
