"""Short ways of writing schedules and their dates in these tests."""

from __future__ import annotations

from datetime import datetime

from lictor.schema.rules.schedules.dates import dates
from lictor.schema.wire.schedules import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

HOUR = 3600.0
DAILY = 86400.0


def every(seconds: float, anchor: str, timezone: str = "UTC") -> IntervalSchedule:
    return IntervalSchedule(seconds, anchor, timezone)


def cron(expression: str, timezone: str | None = None, day_or: bool = True) -> CronSchedule:
    return CronSchedule(expression, timezone, day_or)


def rule(text: str, timezone: str | None = "UTC") -> RRuleSchedule:
    return RRuleSchedule(text, timezone)


def shown(
    schedule: Schedule, start: str, n: int | None = None, end: str | None = None
) -> list[str]:
    """The dates as Python writes them, to the minute where the seconds are 0."""
    until = None if end is None else datetime.fromisoformat(end)
    found = dates(schedule, datetime.fromisoformat(start), until, n)
    return [str(date).replace(":00-", "-").replace(":00+", "+") for date in found]
