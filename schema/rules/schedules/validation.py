"""Whether the parts of a schedule can be followed, and if not, which one is wrong and why.

Each function returns in silence or raises a ValueError with a sentence for the caller.
Source: `prefect._internal.schemas.validators`.
"""

from __future__ import annotations

import re
from datetime import timedelta

from lictor.schema.rules.schedules import rrule

RRULE_LENGTH_MAX = 6500

_CRON_FIELDS = ("minute", "hour", "day", "month", "weekday", "second", "year")
_RANDOM = re.compile(r"[RH](\(.*\))?(/.*)?", re.IGNORECASE)
_NEAREST_WEEKDAY = re.compile(r"\d+W|W\d+", re.IGNORECASE)
_ENDS_WITH_7 = re.compile(r"L?7(-[^#]+)?(/.*)?|[^#]+-7(/.*)?", re.IGNORECASE)


def check_interval(interval: timedelta) -> None:
    if interval <= timedelta(0):
        raise ValueError("interval must be positive")


def check_cron(expression: str) -> None:
    """Five fields, a sixth for seconds, a seventh for years, or a nickname such as `@daily`.

    `R` and `H`, which croniter replaces by random numbers, are refused in every form: the dates of
    such a schedule would be others each time they are asked for. Refused, too, is what Prefect's
    clients cannot read back with their older croniter.
    """
    fields = expression.split()
    if any(_RANDOM.fullmatch(item) for field in fields for item in field.split(",")):
        raise ValueError(f'Random and Hashed expressions are unsupported, received: "{expression}"')
    if not _is_cron(expression):
        raise ValueError(f'Invalid cron string: "{expression}" ({_fault(expression, fields)})')
    if (unread := _unread(fields)) is not None:
        raise ValueError(f'Invalid cron string: "{expression}" ({unread})')


def _unread(fields: list[str]) -> str | None:
    """What clients do not understand in an expression that croniter does."""
    if len(fields) >= 5:
        if any(_NEAREST_WEEKDAY.fullmatch(item) for item in fields[2].split(",")):
            return "the nearest weekday, W, is unsupported"
        weekdays = fields[4].split(",") if len(fields) > 5 else ()
        if any(_ENDS_WITH_7.fullmatch(item) for item in weekdays):
            return "beside seconds, Sunday is 0 and not 7"
    return None


def _is_cron(expression: str) -> bool:
    from croniter import croniter  # type: ignore[import-untyped]

    try:
        return bool(croniter.is_valid(expression))
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError):
        return False  # croniter trips over some malformed expressions


def _fault(expression: str, fields: list[str]) -> str:
    """The part of an invalid expression that makes it so."""
    if expression.lstrip().startswith("@"):
        return "the nicknames are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"
    if not 5 <= len(fields) <= len(_CRON_FIELDS):
        return f"it has {len(fields)} fields and needs 5: {' '.join(_CRON_FIELDS[:5])}"
    for position, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[position] = field
        if not _is_cron(" ".join(alone)):
            return f'the {_CRON_FIELDS[position]} cannot be "{field}"'
    return "its fields do not go together"


def check_rrule(text: str) -> None:
    """A rule or a set of rules that dateutil can read, with intervals of at least 1."""
    if len(text) > RRULE_LENGTH_MAX:
        raise ValueError(
            f'Invalid RRule string "{text[:40]}..." (at most {RRULE_LENGTH_MAX} characters, got'
            f" {len(text)})"
        )
    from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

    try:
        rrulestr(text)
        rules = rrule.parsed(text)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(f'Invalid RRule string "{text}": {_reason(text, error)}') from None
    for each in (*rules._rrule, *rules._exrule):
        if each._interval < 1:
            # dateutil would look for the next date for ever.
            raise ValueError(f'Invalid RRule string "{text}": INTERVAL must be at least 1')


def _reason(text: str, error: Exception) -> str:
    for line in text.split():
        for part in line.rpartition(":")[2].split(";"):
            if "=" not in part and ":" not in line:
                return f'"{part}" is not of the form NAME=VALUE'
    return str(error) or type(error).__name__
