"""The timetables of the oracle are those of the server, though they share no code."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from lictor.schema.rules.schedules.dates import dates
from lictor.schema.wire.schedules import ScheduleBody, stored
from simulation.plan import BEGINNINGS_NS
from simulation.timetables import SECOND, Timetable, draw, moment_of, stamp_of


@pytest.mark.parametrize("begin_ns", BEGINNINGS_NS)
def test_oracle_and_server_agree_on_due_times(begin_ns: int) -> None:
    for seed in range(100):
        chance = random.Random(seed)
        now = begin_ns // 1000 + chance.randint(0, 10**9)
        every_s = chance.choice([1, 5, 30, 100, 400, 1000, 4000])
        after = now + chance.randint(0, 10**10)
        until = after + chance.choice([10, 1000, 10_000]) * SECOND
        text = as_stored(draw(chance, every_s, now), now)
        served = dates(stored(text), moment(after), moment(until), 1000)
        own = Timetable(text).due(after, until, 1000)
        assert [moment_of(date.isoformat()) for date in served] == own, text


def as_stored(body: dict[str, object], now: int) -> str:
    fields = dict(body)
    if "interval" in fields:
        fields["interval"] = timedelta(seconds=float(str(fields["interval"])))
        fields["anchor_date"] = datetime.fromisoformat(str(fields["anchor_date"]))
    schedule = msgspec.convert(fields, ScheduleBody).schedule(moment(now))
    return msgspec.json.encode(schedule).decode()


def moment(microseconds: int) -> datetime:
    return datetime.fromisoformat(stamp_of(microseconds)).astimezone(UTC)
