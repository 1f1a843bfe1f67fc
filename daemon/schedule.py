"""`lictor schedule preview`: the next dates of a schedule, and the clock changes between them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from lictor.schema.rules.schedules import zones
from lictor.schema.rules.schedules.dates import dates
from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.schedules import CronSchedule, IntervalSchedule, Schedule, ScheduleBody


class NoSchedule(Exception):
    """The expression is no schedule; the text says why."""


def body(expression: str, timezone: str | None) -> ScheduleBody:
    """The schedule an expression stands for: a recurrence rule, an ISO 8601 duration, else cron.

    Raises:
        NoSchedule: it is none of these, or the zone is unknown.
    """
    fields: dict[str, str] = {} if timezone is None else {"timezone": timezone}
    if "FREQ=" in expression.upper():
        fields["rrule"] = expression
    elif expression.upper().startswith("P"):
        fields["interval"] = expression.upper()
    else:
        fields["cron"] = expression
    try:
        return msgspec.convert(fields, ScheduleBody)
    except (Fault, msgspec.ValidationError) as error:
        raise NoSchedule(str(error)) from error


def preview(expression: str, timezone: str | None, count: int, now: datetime) -> Iterator[str]:
    """One line for each of the next `count` dates; a line between two tells of a clock change.

    Raises:
        NoSchedule: as `body` says.
    """
    schedule = body(expression, timezone).schedule(now)
    zone = zones.zone(schedule.timezone)
    last = now
    found = dates(schedule, now, n=count)
    for date in found:
        for change in zones.changes(zone, last, date):
            yield change_line(change, zone)
        yield date_text(date)
        last = date
    if not found:
        yield "no more dates"


def date_text(date: datetime) -> str:
    """A date as its zone's clocks and calendar show it."""
    return f"{date:%a %Y-%m-%d %H:%M:%S %Z (UTC%z)}"


def change_line(change: zones.Change, zone: ZoneInfo, name: str = "") -> str:
    """The line that tells of a change of the zone's clocks; `name`: whose, where it is not clear"""
    shown = change.at.astimezone(zone)
    way = "forward" if change.gap.total_seconds() > 0 else "back"
    whose = f"{name}: " if name else ""
    return f"-- {whose}clocks go {way} by {abs(change.gap)} at {shown:%Y-%m-%d %H:%M %Z} --"


def described(schedule: Schedule) -> str:
    """The kind of a schedule and what it says, on one line."""
    if isinstance(schedule, IntervalSchedule):
        return f"every {timedelta(seconds=schedule.interval)}"
    if isinstance(schedule, CronSchedule):
        return f"cron {schedule.cron}"
    return "rrule " + " ".join(schedule.rrule.split())
