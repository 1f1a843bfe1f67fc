"""Scalars as lenient clients spell them: what Prefect's server takes although it is not exact.

Each function takes one decoded JSON value and gives the value of its type, or raises `Fault`. The
fast decoder has already refused the value (or it is a query parameter, which is always text), so
nothing here is on the hot path.
Source: pydantic's lax mode, `type` and `msg` in its words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

Prepare = Callable[[dict[str, Any]], dict[str, Any]]
"""What a Struct makes of the object it is read from, before its fields are looked at."""


class Fault(ValueError):
    """One field is wrong. `at` names a place below the value that was looked at, `ctx` holds what
    `msg` was made of.

    A Struct's `__post_init__` raises it to blame one of its fields; a plain `ValueError` from there
    blames the Struct as a whole.
    """

    def __init__(
        self,
        msg: str,
        type: str = "value_error",
        at: tuple[str | int, ...] = (),
        ctx: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(msg)
        self.msg = msg
        self.type = type
        self.at = at
        self.ctx = ctx


_INTEGER = re.compile(r"[+-]?\d+(_\d+)*(\.0+)?", re.ASCII)
_FLOAT_FOR_INT_MAX = 2.0**63
_INTEGER_DIGITS_MAX = 4300
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})
_UUID = re.compile(
    r"(?:urn:uuid:)?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})|([0-9a-fA-F]{32})"
)
_NOT_IN_UUID = re.compile("[^0-9a-fA-F-]")
_UUID_GROUPS = (8, 4, 4, 4, 12)
_UUID_SIZES = (38, 45)
"""Bytes of a hyphenated UUID in braces, and of one with `urn:uuid:`, the longest form."""
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt _](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(?:([Zz])|([+\-\u2212])(\d\d):?(\d\d))?)?",
    re.ASCII,
)
_RARE_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)|([-/]?)(\d\d)\3(\d\d)|-?W(\d\d)(?:-?(\d))?|-?(\d{3}))"
    r"(?:[T ](\d\d(?::\d\d(?::\d\d(?:[.,]\d+)?)?|\d\d\d\d)?(?:Z|[+-]\d\d(?::?\d\d)?)?))?",
    re.ASCII,
)
_UNIX = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_MILLISECONDS_ABOVE = 2e10
"""A Unix time beyond this (the year 2603) is one of milliseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_MOMENT = "value is not a valid datetime"
_ISO_PERIOD = re.compile(
    r"([+-]?)P(?=.)(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?"
    r"(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?=.)(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_ISO_DAYS = (365.0, 30.0, 7.0, 1.0)
_CLOCK_PERIOD = re.compile(
    r"([+-]?)(?:(\d+) ?(?:d|days?),? ?)?(?:(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?",
    re.ASCII | re.IGNORECASE,
)


def integer(value: Any) -> int:
    """From an integer, a boolean, a whole number such as 1.0, or the text of one."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Fault("Input should be a finite number", "finite_number")
        if value != int(value):
            raise Fault(
                "Input should be a valid integer, got a number with a fractional part",
                "int_from_float",
            )
        if abs(value) >= _FLOAT_FOR_INT_MAX:
            raise Fault(
                "Unable to parse input string as an integer, exceeded maximum size",
                "int_parsing_size",
            )
        return int(value)
    if not isinstance(value, str):
        raise Fault("Input should be a valid integer", "int_type")
    text = value.strip()
    if len(text) > _INTEGER_DIGITS_MAX or not _INTEGER.fullmatch(text):
        raise Fault(
            "Input should be a valid integer, unable to parse string as an integer", "int_parsing"
        )
    return int(text.partition(".")[0])


def number(value: Any) -> float:
    """From a number, a boolean, or the text of a finite number."""
    if isinstance(value, (int, float)):
        try:
            found = float(value)
        except OverflowError:
            raise Fault("Input should be a finite number", "finite_number") from None
    elif isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            raise Fault(
                "Input should be a valid number, unable to parse string as a number",
                "float_parsing",
            ) from None
    else:
        raise Fault("Input should be a valid number", "float_type")
    if not math.isfinite(found):
        raise Fault("Input should be a finite number", "finite_number")
    return found


def boolean(value: Any) -> bool:
    """From a boolean, 0 or 1, or one of the usual words."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, (int, float)):
        if value in (0, 1):
            return value == 1
        if isinstance(value, float):
            raise Fault("Input should be a valid boolean", "bool_type")
    else:
        raise Fault("Input should be a valid boolean", "bool_type")
    raise Fault("Input should be a valid boolean, unable to interpret input", "bool_parsing")


def string(value: Any) -> str:
    """From text only: a number is not a name."""
    if isinstance(value, str):
        return value
    raise Fault("Input should be a valid string", "string_type")


def uuid(value: Any) -> UUID:
    """From hyphenated text, bare, in braces or as a URN, or from 32 hexadecimal digits."""
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        raise Fault("UUID input should be a string, bytes or UUID object", "uuid_type")
    text = value
    if len(value) == 38 and value[0] == "{" and value[-1] == "}":
        text = value[1:-1]
    match = _UUID.fullmatch(text)
    if match is None or (text is not value and match[1] is None):
        reason = _not_a_uuid(value)
        said = f"Input should be a valid UUID, {reason}"
        raise Fault(said, "uuid_parsing", ctx={"error": reason})
    return UUID(match[1] or match[2])


def _not_a_uuid(text: str) -> str:
    """What keeps `text` from being a UUID. A place is counted from the brackets or the URN's
    prefix when the length is right, else from the start.

    Source: the Rust crate `uuid`, which pydantic parses with.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > _UUID_SIZES[1]:
        return f"invalid length: found {size}"
    is_braced = len(text) > 1 and text[0] == "{" and text[-1] == "}"
    inner = text[1:-1] if is_braced else text.removeprefix("urn:uuid:")
    if (strange := _NOT_IN_UUID.search(inner)) is not None:
        skipped = 0 if size in _UUID_SIZES else text.index(inner)
        place = skipped + len(inner[: strange.start()])
        return f"invalid character: found `{strange[0]}` at {place}"
    groups = [len(group) for group in inner.split("-")]
    if len(groups) == 1 and inner is text:
        return f"invalid length: found {size}"
    if len(groups) != len(_UUID_GROUPS):
        return f"invalid group count: expected 5, found {len(groups)}"
    for number, (found, due) in enumerate(zip(groups[:4], _UUID_GROUPS, strict=False)):
        if found != due:
            return f"invalid group length in group {number}: expected {due}, found {found}"
    return f"invalid group length in group 4: expected 12, found {size - 24}"


def moment(value: Any) -> datetime:
    """From ISO 8601 in its many forms, a date alone, or a Unix time in seconds or milliseconds.

    Text without an offset gives a naive moment, as the fast decoder does; it means UTC. The word
    `now` is the moment at which it is read: the one value that needs a clock.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Fault(_NO_MOMENT)
    if not isinstance(value, str):
        return _from_unix(float(value) if abs(value) < 1e300 else math.inf)
    if _UNIX.fullmatch(value):
        return _from_unix(float(value))
    if value == "now":
        return datetime.now(UTC)
    try:
        match = _MOMENT.fullmatch(value)
        return _from_parts(match) if match is not None else _from_rare(value)
    except (ValueError, OverflowError):
        raise Fault(f"Value error, Unable to parse string [{value}]") from None


def _from_parts(match: re.Match[str]) -> datetime:
    """The moment of a `_MOMENT` match; ValueError when a part is out of range."""
    year, month, day, hour, minute, second = (int(match[n] or 0) for n in range(1, 7))
    microsecond = int((match[7] or "")[:6].ljust(6, "0"))
    zone: timezone | None = UTC if match[8] else None
    if match[9]:
        offset_hours, offset_minutes = int(match[10]), int(match[11])
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError("timezone offset must be less than 24 hours")
        offset = timedelta(hours=offset_hours, minutes=offset_minutes)
        zone = timezone(offset if match[9] == "+" else -offset)
    return datetime(year, month, day, hour, minute, second, microsecond, zone)


def _from_rare(value: str) -> datetime:
    """A moment by month, week or day of the year, in ISO's basic form, or with slashes.

    Raises:
        ValueError: it is none, or a part is out of range.
    """
    match = _RARE_MOMENT.fullmatch(value)
    if match is None:
        raise ValueError("invalid format")
    year, time = int(match[1]), match[9]
    if match[6]:
        day = date.fromisocalendar(year, int(match[6]), int(match[7] or 1))
    elif match[8]:
        day = date(year, 1, 1) + timedelta(days=int(match[8]) - 1)
        if day.year != year:
            raise ValueError("day is outside the year")
    else:
        day = date(year, int(match[2] or match[4]), int(match[5] or 1))
    return datetime.fromisoformat(day.isoformat() if time is None else f"{day}T{time}")


def _from_unix(number_of: float) -> datetime:
    seconds = number_of / 1000 if abs(number_of) > _MILLISECONDS_ABOVE else number_of
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise Fault(_NO_MOMENT) from None


def period(value: Any) -> timedelta:
    """From seconds, an ISO 8601 duration, `HH:MM:SS`, or `3 days, 04:05:06`."""
    if not isinstance(value, (str, int, float)):
        raise Fault("Input should be a valid timedelta", "time_delta_type")
    try:
        found = timedelta(seconds=value) if not isinstance(value, str) else _from_period(value)
    except (OverflowError, ValueError):
        raise Fault(
            "Input should be a valid timedelta, durations may not exceed 999,999,999 days",
            "time_delta_parsing",
        ) from None
    if found is None:
        raise Fault("Input should be a valid timedelta, invalid format", "time_delta_parsing")
    return found


def _from_period(text: str) -> timedelta | None:
    """The duration `text` spells, None when it spells none."""
    if match := _ISO_PERIOD.fullmatch(text):
        days = sum(float(match[2 + n] or 0) * _ISO_DAYS[n] for n in range(4))
        hours, minutes, seconds = (float(match[n] or 0) for n in range(6, 9))
        found = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    elif (match := _CLOCK_PERIOD.fullmatch(text)) and (match[2] or match[3]):
        days, hours, minutes, seconds = (int(match[n] or 0) for n in range(2, 6))
        if minutes > 59 or seconds > 59 or (match[5] is None and len(match[3] or "") == 1):
            return None
        fraction = int((match[6] or "")[:6].ljust(6, "0"))
        found = timedelta(
            days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=fraction
        )
    else:
        return None
    return -found if match[1] == "-" else found
