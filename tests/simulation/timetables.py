"""Timetables: schedules of a few plain kinds, and their due times by arithmetic of their own.

Moments are whole microseconds since the Unix epoch. What is computed here shares no code with the
server: it is what the server is held against.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CRON_STEPS_S = (1, 5, 10, 30, 60, 120, 300, 900, 1800, 3600)
"""Each divides the unit above it, so that the marks lie evenly."""


def moment_of(stamp: str) -> int:
    """The moment of an ISO text with an offset."""
    return (datetime.fromisoformat(stamp) - _EPOCH) // timedelta(microseconds=1)


def stamp_of(moment: int) -> str:
    """The canonical text of a moment."""
    shown = _EPOCH + timedelta(microseconds=moment)
    return shown.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def draw(chance: random.Random, every_s: float, now: int) -> dict[str, Any]:
    """The body of a schedule that is due about every `every_s` seconds."""
    kind = chance.choice(["interval", "interval", "cron", "rrule"])
    if kind == "interval":
        anchor = now + chance.randint(-(10**6), 10**6) * 1000
        every_s = max(0.5, round(every_s * chance.uniform(0.7, 1.4), 3))
        return {"interval": every_s, "anchor_date": stamp_of(anchor)}
    if kind == "cron":
        step_s = min(CRON_STEPS_S, key=lambda step_s: abs(step_s - every_s))
        return {"cron": _cron(step_s), "timezone": chance.choice(["UTC", "Europe/Berlin"])}
    begin = _EPOCH + timedelta(seconds=now // SECOND + chance.randint(-1000, 10))
    step_s = max(1, round(every_s))
    rule = f"DTSTART:{begin:%Y%m%dT%H%M%S}\nRRULE:FREQ=SECONDLY;INTERVAL={step_s}"
    if chance.random() < 0.3:
        until = begin + timedelta(seconds=1000 + step_s * chance.randint(1, 12))
        rule += f";UNTIL={until:%Y%m%dT%H%M%S}"
    return {"rrule": rule, "timezone": "UTC"}


def _cron(step_s: int) -> str:
    if step_s < 60:
        return f"* * * * * */{step_s}"
    if step_s < 3600:
        return f"*/{step_s // 60} * * * *"
    return "0 * * * *"


def _cron_step_s(expression: str) -> int:
    fields = expression.split()
    if len(fields) == 6:
        return int(fields[5].removeprefix("*/"))
    return 3600 if fields[0] == "0" else 60 * int(fields[0].removeprefix("*/"))


class Timetable:
    """The due times of a stored schedule, which is one that `draw` has made."""

    def __init__(self, stored: str) -> None:
        fields = json.loads(stored)
        self._zone = ZoneInfo(fields.get("timezone") or "UTC")
        self._first: int | None = None
        self._last: int | None = None
        self._is_on_clocks = "cron" in fields
        if "interval" in fields:
            self.step = round(fields["interval"] * SECOND)
            self._phase = moment_of(fields["anchor_date"])
        elif "cron" in fields:
            self.step = _cron_step_s(fields["cron"]) * SECOND
            self._phase = 0
        else:
            start, rule = fields["rrule"].split("\n")
            parts = dict(part.split("=") for part in rule.removeprefix("RRULE:").split(";"))
            self.step = int(parts["INTERVAL"]) * SECOND
            self._phase = self._first = _basic(start.removeprefix("DTSTART:"))
            if "UNTIL" in parts:
                self._last = _basic(parts["UNTIL"])

    def has(self, moment: int) -> bool:
        """Whether it is due at this moment."""
        return (
            (moment - self._phase) % self.step == 0
            and (self._first is None or moment >= self._first)
            and (self._last is None or moment <= self._last)
            and not (self._is_on_clocks and self._is_second_pass(moment))
        )

    def _is_second_pass(self, moment: int) -> bool:
        """In the hour that clocks show twice, marks count the first time."""
        shown = (_EPOCH + timedelta(microseconds=moment)).astimezone(self._zone)
        return shown.fold == 1

    def due(self, after: int, until: int, limit: int = 10_000) -> list[int]:
        """The first `limit` due times from `after` to `until`, both included."""
        if self._first is not None:
            after = max(after, self._first)
        if self._last is not None:
            until = min(until, self._last)
        moment = after + (self._phase - after) % self.step
        found: list[int] = []
        while moment <= until and len(found) < limit:
            if self.has(moment):
                found.append(moment)
            moment += self.step
        return found


def _basic(text: str) -> int:
    return moment_of(f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:15]}+00:00")
