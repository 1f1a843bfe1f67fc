"""From text or TOML to the value of a setting: numbers, booleans, durations, choices, ranges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from lictor.config.declaration import Setting

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
_PLAIN = re.compile(r"-?[0-9]{1,15}(\.[0-9]{0,15})?|-?\.[0-9]{1,15}")
_CLOCK = re.compile(
    r"(?:([0-9]{1,9}) days?,? )?([0-9]{1,9}):([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]{1,15})?)"
)
_AMOUNT = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_ISO = re.compile(
    rf"P(?:(?P<w>{_AMOUNT})W)?(?:(?P<d>{_AMOUNT})D)?"
    rf"(?:T(?:(?P<h>{_AMOUNT})H)?(?:(?P<m>{_AMOUNT})M)?(?:(?P<s>{_AMOUNT})S)?)?"
)
_ISO_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


class Unreadable(ValueError):
    """The value is not one this setting can have; the text says which are."""


def seconds(text: str) -> float:
    """A duration in seconds, from `90`, `1.5`, `HH:MM:SS` or ISO 8601 (`PT1H30M`, `P7D`).

    Years and months have no fixed length and are refused.

    Raises:
        Unreadable: none of the three forms.
    """
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return float(text)
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, rest = match.groups(default="0")
        return int(days) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + float(rest)
    match = _ISO.fullmatch(text)
    if match and any(match.groups()) and not text.endswith("T"):
        return sum(
            float(amount) * _ISO_SECONDS[unit]
            for unit, amount in match.groupdict().items()
            if amount is not None
        )
    raise Unreadable("expected seconds (90), HH:MM:SS (00:01:30) or ISO 8601 (PT1M30S)")


def value(setting: Setting, raw: object) -> Any:
    """`raw`, text from the environment or a TOML value, as the value of `setting`.

    Raises:
        Unreadable: not of its type or out of its range.
    """
    if isinstance(raw, str):
        raw = _of_text(setting, raw)
    try:
        return msgspec.convert(raw, setting.checked)
    except msgspec.ValidationError as error:
        raise Unreadable(_expected(setting) or str(error)) from None


def _of_text(setting: Setting, text: str) -> object:
    if setting.unit == "s":
        return seconds(text)
    text = text if setting.secret else text.strip()
    if setting.type is bool:
        return _boolean(text)
    if setting.type is int:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text
    if setting.is_path:
        return _path(text)
    if get_origin(setting.type) is Literal:
        return text.lower()
    return text


def _path(text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise Unreadable(f"expected a path ({error})") from None
    if "\0" in text or not text:
        raise Unreadable("expected a path")
    return path


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in TRUE:
        return True
    if lowered in FALSE:
        return False
    raise Unreadable("expected true or false")


def _expected(setting: Setting) -> str:
    """What a reader of an error needs to know: the kind of value and its range."""
    if get_origin(setting.type) is Literal:
        return f"expected one of {', '.join(get_args(setting.type))}"
    kind = {int: "a whole number", float: "a number", bool: "true or false"}.get(
        setting.type, "text"
    )
    unit = f" of {'seconds' if setting.unit == 's' else setting.unit}" if setting.unit else ""
    return f"expected {kind}{unit}, {setting.range}".rstrip(", ")
