"""Counting stored events by name, by resource, or by time.

Source: `prefect.server.events.counting`.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from lictor.schema import times
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import Invalid
from lictor.schema.events.codec import microseconds, unpack, unpack_moment
from lictor.schema.events.event import RESOURCE_NAME, Resource
from lictor.schema.events.filters import EventFilter, Interval
from lictor.schema.tables.event_search import Search
from lictor.schema.times import Timestamp

TimeUnit = Literal["week", "day", "hour", "minute", "second"]
Countable = Literal["day", "time", "event", "resource"]

UNIT_S: dict[TimeUnit, int] = {
    "week": 604_800,
    "day": 86_400,
    "hour": 3_600,
    "minute": 60,
    "second": 1,
}
PIVOT = datetime(2024, 4, 1, tzinfo=UTC)
"""A Monday: every bucket of time begins a whole number of intervals from it."""
BUCKETS_MAX = 1000
GROUPS_MAX = 10_000
"""Names or resources in one answer: those with the most events."""

_decode_labels = msgspec.json.Decoder(tuple[Resource, msgspec.Raw]).decode


class EventCount(msgspec.Struct):
    """Events that have `value` in common; the times are of the first and the last of them, or the
    ends of the bucket.
    """

    value: str
    label: str
    count: int
    start_time: Timestamp
    end_time: Timestamp


def check_buckets(times_: Interval, unit: TimeUnit, interval: float) -> None:
    """Refuse what would make too many buckets, whatever is counted.

    Raises:
        Invalid: more than `BUCKETS_MAX`.
    """
    span_s = times.seconds_between(times_.since, times_.until)
    buckets = math.ceil(span_s / (UNIT_S[unit] * interval))
    if buckets > BUCKETS_MAX:
        raise Invalid(
            f"The given interval would create {buckets} buckets, which is too many. Please "
            "increase the interval or reduce the time range to produce "
            f"{BUCKETS_MAX} buckets or fewer."
        )


def by_event(tx: ReadTx, filter_: EventFilter, times_: Interval) -> list[EventCount]:
    """One count for each event name, the most frequent first."""
    search = _every(tx, filter_, times_)
    if search.is_exact:
        rows = tx.all(
            "SELECT n.name, n.name, g.* FROM"
            f" ({_grouped(search, 'e.name')}) g JOIN event_name n ON n.key = g.what",
            search.matching()[2],
        )
        found = [(name, label, *rest) for name, label, _, *rest in rows]
    else:
        found = _tallied(search, "event")
    return _ordered(found)


def by_resource(tx: ReadTx, filter_: EventFilter, times_: Interval) -> list[EventCount]:
    """One count for each primary resource, called by its latest name, the most frequent first."""
    search = _every(tx, filter_, times_)
    if not search.is_exact:
        return _ordered(_tallied(search, "resource"))
    rows = tx.all(
        "SELECT r.id, (SELECT l.body FROM event l WHERE l.seq = (SELECT max(v.seq)"
        " FROM event_involved v WHERE v.resource = g.what AND v.occurred = g.latest"
        " AND v.is_related = 0)), g.total, g.oldest, g.latest"
        f" FROM ({_grouped(search, 'e.resource')}) g JOIN event_resource r ON r.key = g.what",
        search.matching()[2],
    )
    return _ordered(
        [(id_, _label(_decode_labels(unpack(body))[0], id_), *rest) for id_, body, *rest in rows]
    )


def _every(tx: ReadTx, filter_: EventFilter, times_: Interval) -> Search:
    """The search for all matching events, the latest first, whatever the filter says of that."""
    search = Search(tx, filter_, times_)
    search.distinct = False
    search.descending = True
    return search


def _grouped(search: Search, what: str) -> str:
    return (
        f"SELECT {what} AS what, count(*) AS total, min(e.occurred) AS oldest,"
        f" max(e.occurred) AS latest FROM {search.matching()[1]}"
        f" GROUP BY {what} ORDER BY total DESC LIMIT {GROUPS_MAX}"
    )


def _label(labels: Resource, id_: str) -> str:
    return labels.get(RESOURCE_NAME) or labels.get("prefect.name") or id_


def _tallied(
    search: Search, what: Literal["event", "resource"]
) -> list[tuple[str, str, int, int, int]]:
    """As the SQL would count, for what only the predicate can tell: (value, label, count, ends)."""
    groups: dict[str, tuple[str, int, int, int]] = {}
    for place, event in search.candidates():
        value = event.event if what == "event" else event.resource_id
        label = value if what == "event" else _label(event.resource, value)
        occurred = place.occurred
        if value not in groups:
            groups[value] = (label, 1, occurred, occurred)
            continue
        latest_label, count, _, latest = groups[value]
        groups[value] = (latest_label, count + 1, occurred, latest)
    return [(value, *group) for value, group in groups.items()]


def _ordered(groups: list[tuple[str, str, int, int, int]]) -> list[EventCount]:
    counts = [
        EventCount(value, label, count, unpack_moment(oldest), unpack_moment(latest))
        for value, label, count, oldest, latest in groups
    ]
    counts.sort(key=lambda count: (-count.count, count.label))
    return counts[:GROUPS_MAX]


def by_time(
    tx: ReadTx,
    filter_: EventFilter,
    times_: Interval,
    unit: TimeUnit,
    interval: float,
    now: Timestamp,
) -> list[EventCount]:
    """One count for each bucket of `interval` units, empty ones included, in order of time.

    The first bucket holds the beginning of `times_`; the last begins before its end, or, if that
    is still to come, before the present unit is over.
    """
    step = timedelta(seconds=UNIT_S[unit] * interval)
    since, until = times.parse(times_.since), times.parse(times_.until)
    if until > times.parse(now):
        until = _end_of_unit(times.parse(now), unit)
    first = PIVOT + (since - PIVOT) // step * step
    search = _every(tx, filter_, times_)
    found = _by_bucket(tx, search, microseconds(first), step // timedelta(microseconds=1))
    counts: list[EventCount] = []
    start = first
    while start < until:
        end = start + step
        counts.append(
            EventCount(
                str(len(counts)),
                start.isoformat(),
                found.get(len(counts), 0),
                times.text(start),
                times.text(end - timedelta(microseconds=1)),
            )
        )
        start = end
    return counts


def _by_bucket(tx: ReadTx, search: Search, first: int, step: int) -> dict[int, int]:
    """Bucket number to its count; all in microseconds. There are at most `BUCKETS_MAX` or so."""
    if search.is_exact:
        _, matching, args = search.matching()
        return dict(
            tx.all(
                f"SELECT (e.occurred - ?) / ? AS bucket, count(*) FROM {matching} GROUP BY bucket",
                (first, step, *args),
            )
        )
    found: dict[int, int] = {}
    for place, _ in search.candidates():
        bucket = (place.occurred - first) // step
        found[bucket] = found.get(bucket, 0) + 1
    return found


def _end_of_unit(now: datetime, unit: TimeUnit) -> datetime:
    """The last microsecond of the unit that holds `now`; weeks end on Sundays."""
    unit_ = timedelta(seconds=UNIT_S[unit])
    return PIVOT + ((now - PIVOT) // unit_ + 1) * unit_ - timedelta(microseconds=1)
