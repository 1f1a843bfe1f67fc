"""The dates of a schedule that repeats after an interval, counted from its anchor.

An interval is so many whole days and a rest. Days are added on the wall clock, so that nine o'clock
stays nine o'clock when clocks are changed; the rest is added in absolute time, so that every hour
is every hour. From the anchor on, each date is made from the one before it: a daily 02:30 that
meets a gap goes on at 03:30. Between two changes of the clocks both ways of adding agree, and the
series is one multiplication; only the steps across a change are walked. Hence the dates are the
same wherever one starts to ask for them.
Source: `prefect.server.schemas.schedules.IntervalSchedule`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from lictor.schema.rules.schedules import zones

_INSTANT = timedelta(microseconds=1)


def moments(
    interval: timedelta, anchor: datetime, zone: ZoneInfo, start: datetime
) -> Iterator[datetime]:
    """The dates of the schedule from `start` on, ascending, in UTC.

    Ends with an OverflowError at the end of the calendar.
    """
    anchor = anchor.astimezone(UTC)
    start = start.astimezone(UTC)
    if interval.days == 0 or zone.key == "UTC":
        return _absolute(interval, anchor, start)
    return _local(interval, anchor, zone, start)


def _absolute(interval: timedelta, anchor: datetime, start: datetime) -> Iterator[datetime]:
    count = -((anchor - start) // interval)  # rounded up
    date = anchor + count * interval
    while True:
        yield date
        date += interval


def _local(
    interval: timedelta, anchor: datetime, zone: ZoneInfo, start: datetime
) -> Iterator[datetime]:
    if start < anchor:
        yield from _before_anchor(interval, anchor, zone, start)
    date = _seek(interval, anchor, zone, start)
    while True:
        yield date
        date = _next(date, interval, zone)


def _before_anchor(
    interval: timedelta, anchor: datetime, zone: ZoneInfo, start: datetime
) -> Iterator[datetime]:
    """The dates from `start` to the anchor, without it: each made from the anchor, backwards.

    Steps forward through a gap could not come back to the anchor.
    """
    count = -((anchor - start) // interval)
    while _back(count - 1, interval, anchor, zone) >= start:
        count -= 1
    for step in range(count, 0):
        date = _back(step, interval, anchor, zone)
        if start <= date < anchor:
            yield date


def _back(count: int, interval: timedelta, anchor: datetime, zone: ZoneInfo) -> datetime:
    days = timedelta(days=interval.days)
    shown = zones.wall(anchor, zone) + count * days
    return zones.later(shown, zone) + count * (interval - days)


def _next(date: datetime, interval: timedelta, zone: ZoneInfo) -> datetime:
    days = timedelta(days=interval.days)
    return zones.later(zones.wall(date, zone) + days, zone) + (interval - days)


def _seek(interval: timedelta, anchor: datetime, zone: ZoneInfo, start: datetime) -> datetime:
    """The first date from `start` on, for a `start` at or after the anchor."""
    date = anchor
    for change in zones.changes(zone, anchor, max(anchor, start)):
        if date < change.at:
            date = _next(_last_before(change.at, date, interval), interval, zone)
    if date < start:
        date = _last_before(start, date, interval)
    while date < start:
        date = _next(date, interval, zone)
    return date


def _last_before(limit: datetime, date: datetime, interval: timedelta) -> datetime:
    """The last date before `limit`, when no clock is changed between `date` and it."""
    return date + (limit - date - _INSTANT) // interval * interval
