"""Aggregates over runs: histories by interval and state, lateness, the numbers the UI draws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from lictor.schema import times
from lictor.schema.backends.tx import ReadTx, Value
from lictor.schema.errors import Invalid
from lictor.schema.filters import joins
from lictor.schema.filters.clauses import Clause, all_of
from lictor.schema.filters.engine import Filters, Join, condition
from lictor.schema.filters.targets import LATEST, moment
from lictor.schema.wire.history import HistoryInterval, HistoryState

INTERVALS_MAX = 500
"""The most intervals of one history; what is beyond them is left out."""
WIDTH_US_MAX = 10**18
"""Wider than the calendar, and within SQLite's integers."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Intervals(NamedTuple):
    """`number` equal intervals of `width_us` microseconds from `start` on."""

    start: datetime
    width_us: int
    number: int

    def edge(self, index: int) -> times.Timestamp:
        """Where interval `index` begins."""
        try:
            return moment(self.start + timedelta(microseconds=index * self.width_us))
        except OverflowError:
            return moment(LATEST)


def intervals(start: datetime, end: datetime, seconds: float) -> Intervals | None:
    """The intervals from `start` to `end`, the last one whole; None when there are none.

    Raises:
        Invalid: an interval is shorter than a second.
    """
    if not seconds >= 1:
        raise Invalid("History interval must not be less than 1 second.")
    first = times.parse(moment(start))
    elapsed_us = (times.parse(moment(end)) - first) // timedelta(microseconds=1)
    if elapsed_us <= 0:
        return None
    width_us = min(round(seconds * 1e6), WIDTH_US_MAX)
    return Intervals(first, width_us, min(-(-elapsed_us // width_us), INTERVALS_MAX))


def flow_runs(
    tx: ReadTx, filters: Filters, over: Intervals, now: datetime
) -> list[HistoryInterval]:
    """Flow runs that match, by the interval they are expected in and their state."""
    return _history(tx, "flow_runs", "flow_run fr", joins.OF_FLOW_RUNS, filters, over, now)


def task_runs(
    tx: ReadTx, filters: Filters, over: Intervals, now: datetime
) -> list[HistoryInterval]:
    """Task runs that match, by the interval they are expected in and their state."""
    return _history(tx, "task_runs", "task_run tr", joins.OF_TASK_RUNS, filters, over, now)


def average_lateness(tx: ReadTx, filters: Filters, now: datetime) -> float | None:
    """Seconds the matching flow runs are late on average, punctual ones counted; None for none."""
    where = condition("flow_runs", joins.OF_FLOW_RUNS, filters)
    row = tx.one(
        f"SELECT avg({_lateness('fr')}) FROM flow_run fr WHERE {where.sql}",
        (*_moment(now), *where.args),
    )
    assert row is not None
    average: float | None = row[0]
    return average


def _history(
    tx: ReadTx,
    kind: str,
    table: str,
    related: tuple[Join, ...],
    filters: Filters,
    over: Intervals,
    now: datetime,
) -> list[HistoryInterval]:
    alias = table.split()[1]
    expected = f"{alias}.expected_start_time"
    window = Clause(
        f"({expected} >= ? AND {expected} < ?)", (over.edge(0), over.edge(over.number))
    )
    where = all_of([window, condition(kind, related, filters)])
    at = _moment(now)
    args: tuple[Value, ...] = (micros(over.start), over.width_us, *at, *at, *where.args)
    rows = tx.all(
        f"SELECT ({sql_micros(expected)} - ?) / ? AS bucket,"
        f" {alias}.state_type, {alias}.state_name, count(*),"
        f" sum({_run_time(alias)}), sum({_lateness(alias)})"
        f" FROM {table} WHERE {where.sql}"
        f" GROUP BY bucket, {alias}.state_type, {alias}.state_name",
        args,
    )
    edges = [over.edge(index) for index in range(over.number + 1)]
    found: list[list[HistoryState]] = [[] for _ in range(over.number)]
    for bucket, *state in rows:
        found[bucket].append(HistoryState(*state))
    return [
        HistoryInterval(edges[index], edges[index + 1], states)
        for index, states in enumerate(found)
    ]


def _moment(now: datetime) -> tuple[times.Timestamp, int]:
    """The two arguments of `_run_time` and `_lateness`."""
    return times.text(now), micros(now)


def micros(at: datetime) -> int:
    """Whole microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def sql_micros(sql: str) -> str:
    """SQL of `micros` for a moment in canonical text."""
    return f"(unixepoch(substr({sql}, 1, 19)) * 1000000 + CAST(substr({sql}, 21, 6) AS INTEGER))"


def _run_time(alias: str) -> str:
    """SQL of the estimated run time in seconds, with the arguments of `_moment`."""
    since = f"{alias}.state_timestamp"
    return (
        f"{alias}.total_run_time + CASE WHEN {alias}.state_type = 'RUNNING' AND {since} < ?"
        f" THEN (? - {sql_micros(since)}) / 1000000.0 ELSE 0.0 END"
    )


def _lateness(alias: str) -> str:
    """SQL of the lateness in seconds, with the arguments of `_moment`."""
    start, expected = f"{alias}.start_time", f"{alias}.expected_start_time"
    return (
        f"CASE WHEN {start} > {expected}"
        f" THEN ({sql_micros(start)} - {sql_micros(expected)}) / 1000000.0"
        f" WHEN {start} IS NULL AND {expected} < ? AND coalesce({alias}.state_type, '')"
        f" NOT IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED')"
        f" THEN (? - {sql_micros(expected)}) / 1000000.0 ELSE 0.0 END"
    )
