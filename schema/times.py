"""Moments as lictor stores and sends them: fixed-width ISO 8601 UTC text with microseconds and `Z`.

`2026-11-21T11:48:34.000000Z`: it sorts, reads and serialises as it is. Text is turned into a
`datetime` only where arithmetic needs it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

Timestamp = str
"""A moment in the canonical text form."""

EARLIEST: Timestamp = "0001-01-01T00:00:00.000000Z"


def text(moment: datetime) -> Timestamp:
    """The canonical text of `moment`; a naive one is taken as UTC."""
    if moment.tzinfo is not UTC and moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse(stamp: Timestamp) -> datetime:
    """The aware UTC `datetime` of a canonical text."""
    return datetime.fromisoformat(stamp)


def seconds_between(earlier: Timestamp, later: Timestamp) -> float:
    """Seconds from `earlier` to `later`; negative when they are the other way round."""
    return (parse(later) - parse(earlier)).total_seconds()


def epoch_s(stamp: Timestamp) -> float:
    """Seconds from the Unix epoch to `stamp`."""
    return parse(stamp).timestamp()


def shift(stamp: Timestamp, seconds: float) -> Timestamp:
    """`stamp` moved by `seconds`."""
    return text(parse(stamp) + timedelta(seconds=seconds))
