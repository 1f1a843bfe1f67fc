"""The dates of a schedule, whatever its kind, between two bounds.

Source: `get_dates` of the classes in `prefect.server.schemas.schedules`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from lictor.schema import times
from lictor.schema.rules.schedules import cron, interval, rrule, zones
from lictor.schema.wire.schedules import CronSchedule, IntervalSchedule, Schedule

DATES_DEFAULT = 1000
"""How many dates there are at most up to an `end`, if no number is asked for."""

DATES_MAX = 1002
"""How many there are at most, whatever is asked for."""


def upcoming(
    schedule: Schedule, start: datetime, end: datetime | None = None, n: int | None = None
) -> Iterator[datetime]:
    """The dates from `start` to `end`, both included, strictly ascending, in the schedule's zone.

    Made one by one as they are taken. Naive bounds are wall times of the schedule's zone. `n` is
    how many there are at most, but never less than one; without it one, or with an `end`
    `DATES_DEFAULT`.
    """
    zone = zones.zone(schedule.timezone)
    start = _placed(start, zone)
    if n is None:
        n = 1 if end is None else DATES_DEFAULT
    if end is not None:
        end = _placed(end, zone)
    left = min(max(n, 1), DATES_MAX)
    last: datetime | None = None
    try:
        for moment in _moments(schedule, zone, start):
            if end is not None and moment > end:
                return
            if last is not None and moment <= last:
                continue  # a gap has moved one date onto another
            last = moment
            yield moment.astimezone(zone)
            left -= 1
            if not left:
                return
    except OverflowError:
        return  # the calendar ends with the year 9999


def dates(
    schedule: Schedule, start: datetime, end: datetime | None = None, n: int | None = None
) -> list[datetime]:
    """What `upcoming` gives, at once."""
    return list(upcoming(schedule, start, end, n))


def _placed(bound: datetime, zone: ZoneInfo) -> datetime:
    return zones.later(bound, zone) if bound.tzinfo is None else bound.astimezone(UTC)


def _moments(schedule: Schedule, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    if isinstance(schedule, IntervalSchedule):
        anchor = times.parse(schedule.anchor_date)
        return interval.moments(timedelta(seconds=schedule.interval), anchor, zone, start)
    if isinstance(schedule, CronSchedule):
        return cron.moments(schedule.cron, schedule.day_or, zone, start)
    return rrule.moments(schedule.rrule, zone, start)
