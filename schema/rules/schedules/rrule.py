"""The dates of a recurrence rule, or of a set of them (RFC 5545 as dateutil reads it).

Whatever zone the text names, its times are wall times of the schedule's zone. The rules are
followed on the wall clock and turned into moments afterwards, so that no date depends on dateutil's
own idea of zones. Rules that repeat often are begun near the date asked for, not at a DTSTART
years ago.
Source: `prefect.server.schemas.schedules.RRuleSchedule`,
`prefect._internal.schemas.validators.normalize_rrule_string`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from lictor.schema.rules.schedules import zones

if TYPE_CHECKING:
    from dateutil.rrule import rrule, rruleset  # type: ignore[import-untyped]

DEFAULT_START = datetime(2020, 1, 1)
"""Where a rule begins that does not say it."""

_TZID = re.compile(r";TZID=[^:;\n]*", re.IGNORECASE)
_ZULU = re.compile(r"(\dT\d{4,6})Z", re.IGNORECASE)
_PERIODS_S = (None, None, 604_800, 86_400, 3_600, 60, 1)
"""By dateutil's numbers of the frequencies; years and months have no fixed length."""

_MONTHLY = 1
_MINUTELY = 5

DAYS_LOOKED_AT_MAX = 100_000
"""A rule that never holds (every seventh day from a Monday, if it is a Tuesday) would be followed
to the year 9999, which takes dateutil up to minutes. It counts as ended after so many periods
or days; half a second, eleven years of hours, and more than 270 years of days."""


class _Months(tuple[int, ...]):
    """The months of a rule. It is asked for every day looked at, and puts an end to that."""

    looks = 0

    def __contains__(self, month: object) -> bool:
        self.looks += 1
        if self.looks > DAYS_LOOKED_AT_MAX:
            raise OverflowError("the rule holds too rarely, or never")
        return super().__contains__(month)


def moments(text: str, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """The dates from `start` on, ascending, in UTC; with repetitions where a gap moves a time onto
    another. Ends with an OverflowError when dates are sought for too long.
    """
    begin = zones.wall(start, zone)
    if zones.is_changed_near(start, zone):
        # A day is more than any gap or fold is long. Of seconds it is much to follow for nothing.
        begin -= zones.DAY
    walls = (wall for wall in _begun_near(parsed(text), begin) if wall >= begin)
    return (date for date in zones.moments_back(walls, zone) if date >= start)


def parsed(text: str) -> Any:
    """The set of rules in `text`, all its times naive.

    Raises:
        ValueError: the text is not a rule. dateutil lets other errors through, too.
    """
    from dateutil.rrule import rrulestr

    naive = _ZULU.sub(r"\1", _TZID.sub("", text))
    return rrulestr(naive, dtstart=DEFAULT_START, forceset=True, ignoretz=True)


def with_start(text: str, zone: ZoneInfo, now: datetime) -> str:
    """The rule with a DTSTART: as it is when it has one, else with 2020-01-01T00:00:00 before it.

    A rule by minutes or seconds that is not counted begins as late as it can before `now` without
    a change of its dates. Unchanged, too, is a rule whose UNTIL is in UTC: beside a DTSTART without
    a zone Prefect's clients would refuse it.
    """
    from dateutil.rrule import rrulestr

    if "DTSTART" in text.upper():
        return text
    try:
        rrulestr(text, dtstart=DEFAULT_START)
    except (ValueError, TypeError):
        return text
    begin = DEFAULT_START
    components = parsed(text)
    if _is_single(components, text):
        rule = components._rrule[0]
        if rule._freq >= _MINUTELY and rule._count is None:
            begin += max(_whole(rule, zones.wall(now, zone)), timedelta())
    return f"DTSTART:{begin:%Y%m%dT%H%M%S}\n{text}"


def _is_single(rules: Any, text: str) -> bool:
    """Whether dateutil takes the text for one rule, and not for a set."""
    others = rules._exrule or rules._rdate or rules._exdate
    return len(rules._rrule) == 1 and not others


def _whole(rule: Any, until: datetime) -> timedelta:
    """How far a rule of fixed period goes in whole periods from its start to `until`."""
    period = timedelta(seconds=(_PERIODS_S[rule._freq] or 0) * rule._interval)
    begin: datetime = rule._dtstart
    return (until - begin) // period * period


def _begun_near(rules: Any, begin: datetime) -> rruleset:
    """The same set, its rules begun so late that nothing from `begin` on is lost."""
    from dateutil.rrule import rruleset

    near = rruleset()
    for rule in rules._rrule:
        near.rrule(_limited(_forwarded(rule, begin)))
    for rule in rules._exrule:
        near.exrule(_limited(_forwarded(rule, begin)))
    for date in rules._rdate:
        near.rdate(date)
    for date in rules._exdate:
        near.exdate(date)
    return near


def _limited(rule: Any) -> rrule:
    """The rule with an end to fruitless search; a yearly one comes to its end soon by itself."""
    if rule._freq >= _MONTHLY:
        rule._bymonth = _Months(rule._bymonth or range(1, 13))
    return rule


def _forwarded(rule: Any, begin: datetime) -> rrule:
    """The rule begun at most two periods before `begin`, where its dates allow it.

    The first period may be cut, which matters to BYSETPOS; so there is one more.
    """
    period_s = _PERIODS_S[rule._freq]
    if period_s is None:
        return rule
    period = timedelta(seconds=period_s * rule._interval)
    skipped = _whole(rule, begin) - period
    if skipped <= timedelta():
        return rule
    if rule._count is None:
        return rule.replace(dtstart=rule._dtstart + skipped)
    if _is_filtered(rule) or rule._until is not None:
        return rule  # only counting tells which date is the last
    left = rule._count - skipped // period
    if left <= 0:
        return rule.replace(dtstart=rule._dtstart, count=0)
    return rule.replace(dtstart=rule._dtstart + skipped, count=left)


def _is_filtered(rule: Any) -> bool:
    """Whether the rule has a part such as BYHOUR, so that not every period has one date."""
    return any(value is not None for value in rule._original_rule.values())
