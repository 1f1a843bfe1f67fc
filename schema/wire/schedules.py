"""The three kinds of schedule, as requests spell them and as they are stored and answered.

JSON does not name the kind: the field `interval`, `cron` or `rrule` tells it.
Source: `prefect.server.schemas.schedules`, `DeploymentScheduleCreate` of its `actions`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from lictor.schema import times
from lictor.schema.rules.schedules import rrule, validation, zones
from lictor.schema.times import Timestamp
from lictor.schema.wire.coerce import Fault


class IntervalSchedule(msgspec.Struct, frozen=True):
    """Every `interval` seconds, counted from `anchor_date`; whole days on the zone's clocks."""

    interval: float
    anchor_date: Timestamp
    timezone: str = "UTC"


class CronSchedule(msgspec.Struct, frozen=True):
    """When a cron expression holds on the zone's clocks (null: UTC).

    `day_or`: a day matches by its date or its weekday, if both are restricted; else by both.
    """

    cron: str
    timezone: str | None = None
    day_or: bool = True


class RRuleSchedule(msgspec.Struct, frozen=True):
    """The dates of a recurrence rule, or a set of rules, on the zone's clocks."""

    rrule: str
    timezone: str | None = "UTC"


Schedule = IntervalSchedule | CronSchedule | RRuleSchedule


def stored(text: bytes | str) -> Schedule:
    """The schedule of a stored JSON text."""
    fields = msgspec.json.decode(text)
    kind = next(kind for name, kind, _ in _KINDS if name in fields)
    found: Schedule = msgspec.convert(fields, kind)
    return found


_KINDS: tuple[tuple[str, type[Schedule], frozenset[str]], ...] = (
    ("interval", IntervalSchedule, frozenset({"interval", "anchor_date", "timezone"})),
    ("cron", CronSchedule, frozenset({"cron", "timezone", "day_or"})),
    ("rrule", RRuleSchedule, frozenset({"rrule", "timezone"})),
)


class ScheduleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The `schedule` of a request: the fields of one kind. A field that is wrong is named."""

    interval: timedelta | UnsetType = UNSET
    anchor_date: datetime | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    day_or: bool | UnsetType = UNSET
    rrule: str | UnsetType = UNSET
    timezone: str | UnsetType | None = UNSET

    @staticmethod
    def kind_of(fields: dict[str, Any]) -> str:
        """The name of the kind whose fields these are, for the places of errors."""
        for name, kind, _ in _KINDS:
            if name in fields:
                return kind.__name__
        return "Schedule"

    def __post_init__(self) -> None:
        given = {name for name in self.__struct_fields__ if getattr(self, name) is not UNSET}
        self._check_kind(given)
        _check("interval", validation.check_interval, self.interval)
        _check("cron", validation.check_cron, self.cron)
        _check("rrule", validation.check_rrule, self.rrule)
        if self.rrule is not UNSET and self.timezone == "":
            raise Fault('Invalid timezone: ""', at=("timezone",))
        _check("timezone", zones.zone, self.timezone)

    def _check_kind(self, given: set[str]) -> None:
        for name, _, fields in _KINDS:
            if name not in given:
                continue
            for extra in sorted(given - fields):
                said = f"Extra inputs are not permitted beside {name}"
                raise Fault(said, "extra_forbidden", (extra,))
            return
        raise Fault("A schedule needs one of interval, cron and rrule", "missing")

    def schedule(self, now: datetime) -> Schedule:
        """The schedule to be stored; `now` is the anchor, or near which a rule begins, if the
        request gives neither.
        """
        zone = self.timezone
        if self.interval is not UNSET:
            anchor = now if self.anchor_date is UNSET else self.anchor_date
            seconds = self.interval.total_seconds()
            name = "UTC" if zone is None or zone is UNSET else zone
            return IntervalSchedule(seconds, times.text(_aware(anchor)), name)
        if self.cron is not UNSET:
            day_or = True if self.day_or is UNSET else self.day_or
            return CronSchedule(self.cron, None if zone is UNSET else zone, day_or)
        assert self.rrule is not UNSET
        name_or_none = "UTC" if zone is UNSET else zone
        begun = rrule.with_start(self.rrule, zones.zone(name_or_none), now)
        return RRuleSchedule(begun, name_or_none)


def _aware(moment: datetime) -> datetime:
    """A naive anchor is in UTC, even beside another zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _check(field: str, check: Callable[[Any], object], value: Any) -> None:
    if value is UNSET:
        return
    try:
        check(value)
    except ValueError as error:
        raise Fault(f"Value error, {error}", at=(field,)) from None
