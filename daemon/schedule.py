"""`lictor schedule preview`: the next dates of a schedule, and the clock changes between them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from lictor.schema.rules.schedules import zones
from lictor.schema.rules.schedules.dates import dates
from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.schedules import ScheduleBody


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
    last = now.astimezone(zone)
    found = dates(schedule, now, n=count)
    for date in found:
        for change in zones.changes(zone, last, date):
            shown = change.at.astimezone(zone)
            forward = change.after > change.before
            moved = abs(change.after - change.before)
            way = "forward" if forward else "back"
            yield f"-- clocks go {way} by {moved} at {shown:%Y-%m-%d %H:%M %Z} --"
        yield f"{date:%a %Y-%m-%d %H:%M:%S %Z (UTC%z)}"
        last = date
    if not found:
        yield "no more dates"
