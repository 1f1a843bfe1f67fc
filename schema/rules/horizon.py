"""How far ahead a schedule makes runs, and when to look at it again. Pure arithmetic.

Source: `prefect.server.models.deployments._generate_scheduled_flow_runs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from lictor.schema.rules.schedules.dates import upcoming
from lictor.schema.wire.schedules import Schedule

DAY_S = 86_400.0
"""The longest rest before a schedule is looked at again that has no more dates in reach."""


_INSTANT = timedelta(microseconds=1)


class Bounds(NamedTuple):
    """Dates lie from `start` to `end`; there are at least `runs_min` of them and they reach
    `ahead_min_s` seconds, if there are so many, but at most `runs_max`, which is at least one.
    """

    start: datetime
    end: datetime
    ahead_min_s: float
    runs_min: int
    runs_max: int


def dates_ahead(
    schedule: Schedule, bounds: Bounds, made: Sequence[datetime] = ()
) -> list[datetime]:
    """The dates to make runs for, in the schedule's zone, behind those `made`, which ascend."""
    enough = bounds.start + timedelta(seconds=bounds.ahead_min_s)
    known = sum(date >= bounds.start for date in made)
    found: list[datetime] = []
    if made and known >= bounds.runs_min and made[-1] >= enough:
        return found
    start = max(bounds.start, made[-1]) if made else bounds.start
    # One more than wanted: the first may be the last one made.
    for date in upcoming(schedule, start, bounds.end, bounds.runs_max + 1):
        if made and date <= made[-1]:
            continue
        if known + len(found) >= bounds.runs_max:
            break
        found.append(date)
        if known + len(found) >= bounds.runs_min and date >= enough:
            break
    return found


def next_look(bounds: Bounds, made: Sequence[datetime], rest_s: float) -> datetime:
    """When the dates made so far cease to be enough; not sooner than dates allow and `rest_s` asks.

    `made`: all dates up to the last one made, or at least the last `runs_min`.
    """
    now = bounds.start
    rest = timedelta(seconds=rest_s)
    # In UTC: what is taken off a date in a zone is taken off its clocks, which may be changed.
    made = [date.astimezone(UTC) for date in made if date >= now]
    if len(made) < bounds.runs_min:
        # No more dates in reach: look when the reach has moved.
        reach_s = (bounds.end - now).total_seconds()
        return now + max(rest, timedelta(seconds=min(DAY_S, reach_s / 2)))
    last = made[-1]
    short = min(made[-bounds.runs_min], last - timedelta(seconds=bounds.ahead_min_s))
    if short >= now:
        # At that very moment they are enough still.
        return short + _INSTANT
    # As many runs as may be are there, and do not reach far enough: before half of them are over.
    return now + max(min(rest, (last - now) / 2), timedelta(seconds=1))
