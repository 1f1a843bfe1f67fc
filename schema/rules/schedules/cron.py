"""The dates of a cron expression.

The expression is followed on the wall clock, where no day is odd, and its wall times are turned
into moments afterwards: croniter itself goes wrong on the days on which clocks are changed. Of the
two passes through a fold only the first counts, and a time inside a gap is moved forward by it; so
the dates do not depend on where one starts to ask.
Source: `prefect.server.schemas.schedules.CronSchedule`; Prefect issues 10472 and 10678.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, takewhile
from zoneinfo import ZoneInfo

from lictor.schema.rules.schedules import zones

_SECOND = timedelta(seconds=1)


def moments(expression: str, day_or: bool, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """The dates from `start` on, ascending, in UTC; with repetitions where a gap moves a time onto
    another.
    """
    start = start.astimezone(UTC)
    shown = zones.wall(start, zone)
    moved: Iterator[datetime] = iter(())
    change = None
    for change in zones.changes(zone, start - zones.DAY, start):  # noqa: B007
        pass
    if change is not None and start - change.at < abs(change.gap):
        if change.gap > timedelta():
            # Times inside the gap are moved to dates that may lie after `start`.
            gap_end = _wall(change.at, change.after)
            walls = _walls(expression, day_or, shown - change.gap)
            moved = takewhile(lambda wall: wall < gap_end, walls)
        else:
            # What the second pass shows has been in the first.
            shown = _wall(change.at, change.before)
    dates = zones.moments_forward(chain(moved, _walls(expression, day_or, shown)), zone)
    return (date for date in dates if date >= start)


def _wall(moment: datetime, offset: timedelta) -> datetime:
    return moment.replace(tzinfo=None) + offset


def _walls(expression: str, day_or: bool, start: datetime) -> Iterator[datetime]:
    """The wall times from `start` on at which the expression holds.

    They end where croniter finds none within fifty years, and at the end of the calendar.
    """
    from croniter import croniter  # type: ignore[import-untyped]

    whole = start.replace(microsecond=0)
    after = whole - _SECOND if whole == start else whole
    try:
        times = croniter(expression, after, day_or=day_or)
        while True:
            yield times.get_next(datetime)
    except (ValueError, OverflowError):  # CroniterBadDateError is a ValueError
        return
