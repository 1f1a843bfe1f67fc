"""`lictor schedule preview` and the lines of `lictor agenda`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lictor.daemon.agenda import due
from lictor.daemon.schedule import NoSchedule, preview
from lictor.daemon.why import NoAnswer

BEFORE_WINTER = datetime(2026, 10, 24, tzinfo=UTC)


def test_a_change_of_clocks_stands_between_the_dates_around_it() -> None:
    assert list(preview("0 12 * * *", "Europe/Berlin", 2, BEFORE_WINTER)) == [
        "Sat 2026-10-24 12:00:00 CEST (UTC+0200)",
        "-- clocks go back by 1:00:00 at 2026-10-25 02:00 CET --",
        "Sun 2026-10-25 12:00:00 CET (UTC+0100)",
    ]


@pytest.mark.parametrize(
    ("expression", "first"),
    [("PT36H", "Sat 2026-10-24 00:00:00 UTC (UTC+0000)"), ("FREQ=DAILY;COUNT=1", "no more dates")],
)
def test_durations_and_rules_are_schedules_as_well(expression: str, first: str) -> None:
    assert next(preview(expression, None, 1, BEFORE_WINTER)) == first


@pytest.mark.parametrize(("expression", "zone"), [("x y", None), ("0 0 * * *", "Mars/Base")])
def test_what_is_no_schedule_is_refused(expression: str, zone: str | None) -> None:
    with pytest.raises(NoSchedule):
        list(preview(expression, zone, 1, BEFORE_WINTER))


def test_an_agenda_needs_the_address_of_an_api() -> None:
    with pytest.raises(NoAnswer, match="not the address"):
        list(due(BEFORE_WINTER, 24, "server:4200", {}))
