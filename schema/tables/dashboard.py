"""The numbers the UI draws: recent runs, task runs by outcome and state, next runs.

Source: `prefect.server.api.ui`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

import msgspec

from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import Invalid
from lictor.schema.filters import joins
from lictor.schema.filters.clauses import Clause, all_of, is_in
from lictor.schema.filters.criteria import CriteriaOp, StateTypes
from lictor.schema.filters.engine import Filters, condition
from lictor.schema.filters.sorts import FlowRunSort
from lictor.schema.filters.targets import moment
from lictor.schema.filters.task_runs import TaskRunFilter, TaskRunStateFilter
from lictor.schema.tables import flow_run_paths, search
from lictor.schema.tables import task_runs as task_run_table
from lictor.schema.tables.history import micros, sql_micros
from lictor.schema.tables.runs import estimated_run_time, lateness
from lictor.schema.times import parse
from lictor.schema.wire.states import StateType
from lictor.schema.wire.ui import NamedTaskRun, NextRun, OutcomeCount, RecentFlowRun

BUCKETS = 20
"""Buckets of `outcome_counts`."""


class Window(msgspec.Struct, frozen=True):
    """What `outcome_counts` divides: from `start` to `end`, both in UTC."""

    start: datetime
    end: datetime


def recent_flow_runs(
    tx: ReadTx, filters: Filters, sort: FlowRunSort, limit: int, offset: int, now: datetime
) -> list[RecentFlowRun]:
    """A page of the flow runs that match, reduced to what a plot needs."""
    columns = (
        "fr.id, fr.state_type, fr.start_time, fr.expected_start_time, fr.total_run_time,"
        " fr.state_timestamp"
    )
    rows = flow_run_paths.rows(tx, filters, sort, columns, "flow_run fr", limit, offset)
    return [
        RecentFlowRun(
            id_,
            state_type,
            start or expected,
            estimated_run_time(total_s, state_type, since, now),
            lateness(expected, start, state_type, now),
        )
        for id_, state_type, start, expected, total_s, since in rows
    ]


def count_task_runs(tx: ReadTx, flow_run_ids: Sequence[str]) -> dict[str, int]:
    """The task runs of each flow run, without those that stand for a sub-flow run."""
    among = is_in("tr.flow_run_id", flow_run_ids)
    rows = tx.all(
        f"SELECT tr.flow_run_id, count(*) FROM task_run tr WHERE {among.sql} AND NOT EXISTS"
        " (SELECT 1 FROM flow_run child WHERE child.parent_task_run_id = tr.id)"
        " GROUP BY tr.flow_run_id",
        among.args,
    )
    return {**dict.fromkeys(flow_run_ids, 0), **dict(rows)}


def next_runs(tx: ReadTx, flow_ids: Sequence[str]) -> dict[str, NextRun | None]:
    """The scheduled run of each flow that is due first."""
    found: dict[str, NextRun | None] = dict.fromkeys(flow_ids)
    if not found:
        return found
    rows = tx.all(
        f"WITH asked (id) AS (VALUES {','.join(['(?)'] * len(found))})"
        " SELECT fr.id, fr.flow_id, fr.name, fr.state_name, fr.state_type,"
        " fr.next_scheduled_start_time FROM asked JOIN flow_run fr ON fr.seq ="
        " (SELECT due.seq FROM flow_run due WHERE due.flow_id = asked.id"
        " AND due.state_type = 'SCHEDULED' AND due.next_scheduled_start_time IS NOT NULL"
        " ORDER BY due.next_scheduled_start_time, due.seq LIMIT 1)",
        tuple(found),
    )
    for row in rows:
        found[row[1]] = NextRun(*row)
    return found


def task_runs_by_state(tx: ReadTx, filters: Filters) -> dict[str, int]:
    """How many task runs match, by state type; every type is there."""
    where = condition("task_runs", joins.OF_TASK_RUNS, filters)
    number, source = (
        ("sum(tr.runs)", search.TASK_RUN_TALLY)
        if search.is_tallied(filters)
        else ("count(*)", "task_run tr")
    )
    rows = tx.all(
        f"SELECT tr.state_type, {number} FROM {source} WHERE {where.sql}"
        " AND tr.state_type IS NOT NULL GROUP BY tr.state_type",
        where.args,
    )
    return {**dict.fromkeys(get_args(StateType), 0), **dict(rows)}


def outcome_window(task_runs: TaskRunFilter, now: datetime) -> Window:
    """The window a request asks for, in whole minutes.

    Raises:
        Invalid: it does not say where the window begins.
    """
    started = task_runs.start_time
    if started is None or started.after_ is None:
        raise Invalid("task_runs.start_time.after_ is required")
    start = parse(moment(started.after_))
    end = now if started.before_ is None else parse(moment(started.before_))
    return Window(
        start.replace(second=0, microsecond=0), end.replace(second=59, microsecond=999_999)
    )


def outcome_counts(
    tx: ReadTx, filters: Mapping[str, CriteriaOp], task_runs: TaskRunFilter, window: Window
) -> list[OutcomeCount]:
    """Task runs of a window that have ended, by outcome, in equal buckets of their start time."""
    ended = TaskRunStateFilter(
        type=StateTypes(any_=["COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
    )
    filters = {**filters, "task_runs": msgspec.structs.replace(task_runs, state=ended)}
    inside = Clause(
        "(tr.start_time >= ? AND tr.start_time <= ?)",
        (moment(window.start), moment(window.end)),
    )
    where = all_of([condition("task_runs", joins.OF_TASK_RUNS, filters), inside])
    width_us = max((window.end - window.start) // timedelta(microseconds=1), 0) + 1
    rows = tx.all(
        f"SELECT ({sql_micros('tr.start_time')} - ?) * {BUCKETS} / ? AS bucket,"
        " sum(CASE WHEN tr.state_type IN ('FAILED', 'CRASHED') THEN 1 ELSE 0 END), count(*)"
        f" FROM task_run tr WHERE {where.sql} GROUP BY bucket",
        (micros(window.start), width_us, *where.args),
    )
    counts = [OutcomeCount() for _ in range(BUCKETS)]
    for bucket, failed, total in rows:
        counts[bucket] = OutcomeCount(total - failed, failed)
    return counts


def task_run_with_flow_run_name(tx: ReadTx, id_: str, now: datetime) -> NamedTaskRun | None:
    """A task run and the name of its flow run; None when there is no such task run."""
    run = task_run_table.read(tx, id_, now)
    if run is None:
        return None
    row = tx.one("SELECT name FROM flow_run WHERE id = ?", (run.flow_run_id,))
    name = None if row is None else row[0]
    return NamedTaskRun(**msgspec.structs.asdict(run), flow_run_name=name)
