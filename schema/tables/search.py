"""Searching and counting flow runs and task runs by the filters of a request."""

from __future__ import annotations

from datetime import datetime

from lictor.schema import times
from lictor.schema.backends.tx import ReadTx, Value
from lictor.schema.filters import joins
from lictor.schema.filters.engine import Filters, condition
from lictor.schema.filters.sorts import (
    TASK_RUN_ORDER,
    FlowRunSort,
    TaskRunSort,
)
from lictor.schema.tables import flow_run_paths
from lictor.schema.tables import flow_runs as flow_run_table
from lictor.schema.tables import task_runs as task_run_table
from lictor.schema.wire.flow_runs import FlowRun
from lictor.schema.wire.task_runs import TaskRun

count_flow_runs = flow_run_paths.count


def flow_runs(
    tx: ReadTx, filters: Filters, sort: FlowRunSort, limit: int, offset: int, now: datetime
) -> list[FlowRun]:
    """One page of the flow runs that match, with their states."""
    rows = flow_run_paths.rows(
        tx, filters, sort, flow_run_table.COLUMNS, flow_run_table.FROM, limit, offset
    )
    to_wire = flow_run_table.to_wire
    return [to_wire(row, now) for row in rows]


def task_runs(
    tx: ReadTx, filters: Filters, sort: TaskRunSort, limit: int, offset: int, now: datetime
) -> list[TaskRun]:
    """One page of the task runs that match, with their states."""
    where = condition("task_runs", joins.OF_TASK_RUNS, filters)
    order = TASK_RUN_ORDER[sort]
    moment = (times.text(now),) * order.count("?")
    rows = tx.all(
        f"SELECT {task_run_table.COLUMNS} FROM {task_run_table.FROM} WHERE {where.sql}"
        f" ORDER BY {order} LIMIT ? OFFSET ?",
        (*where.args, *moment, limit, offset),
    )
    to_wire = task_run_table.to_wire
    return [to_wire(row, now) for row in rows]


def count_task_runs(tx: ReadTx, filters: Filters) -> int:
    """How many task runs match."""
    where = condition("task_runs", joins.OF_TASK_RUNS, filters)
    return _count(tx, f"task_run tr WHERE {where.sql}", where.args)


def _count(tx: ReadTx, source: str, args: tuple[Value, ...]) -> int:
    row = tx.one(f"SELECT count(*) FROM {source}", args)
    assert row is not None
    count: int = row[0]
    return count
