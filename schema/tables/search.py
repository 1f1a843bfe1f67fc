"""Searching and counting flows, flow runs and task runs by the filters of a request."""

from __future__ import annotations

from datetime import datetime

from lictor.schema import times
from lictor.schema.backends.tx import ReadTx, Value
from lictor.schema.filters import joins
from lictor.schema.filters.engine import Filters, asked_keys, condition
from lictor.schema.filters.sorts import (
    FLOW_ORDER,
    TASK_RUN_ORDER,
    FlowRunSort,
    FlowSort,
    TaskRunSort,
)
from lictor.schema.filters.task_runs import TaskRunFilter
from lictor.schema.tables import flow_run_paths
from lictor.schema.tables import flow_runs as flow_run_table
from lictor.schema.tables import flows as flow_table
from lictor.schema.tables import task_runs as task_run_table
from lictor.schema.wire.flow_runs import FlowRun
from lictor.schema.wire.flows import Flow
from lictor.schema.wire.task_runs import TaskRun


def flows(
    tx: ReadTx, filters: Filters, sort: FlowSort, limit: int, offset: int
) -> list[Flow]:
    """One page of the flows that match."""
    where = condition("flows", joins.OF_FLOWS, filters)
    rows = tx.all(
        f"SELECT {flow_table.COLUMNS} FROM flow f WHERE {where.sql}"
        f" ORDER BY {FLOW_ORDER[sort]} LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    return [flow_table.to_wire(row) for row in rows]


def count_flows(tx: ReadTx, filters: Filters) -> int:
    """How many flows match."""
    where = condition("flows", joins.OF_FLOWS, filters)
    return _count(tx, f"flow f WHERE {where.sql}", where.args)


def flow_runs(
    tx: ReadTx, filters: Filters, sort: FlowRunSort, limit: int, offset: int, now: datetime
) -> list[FlowRun]:
    """One page of the flow runs that match, with their states."""
    rows = flow_run_paths.rows(
        tx, filters, sort, flow_run_table.COLUMNS, flow_run_table.FROM, limit, offset
    )
    to_wire = flow_run_table.to_wire
    return [to_wire(row, now) for row in rows]


def count_flow_runs(tx: ReadTx, filters: Filters) -> int:
    """How many flow runs match."""
    return flow_run_paths.count(tx, filters)


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
    """How many task runs match: from the tally, if state types are all that is asked about."""
    where = condition("task_runs", joins.OF_TASK_RUNS, filters)
    if is_tallied(filters):
        row = tx.one(f"SELECT sum(tr.runs) FROM {TASK_RUN_TALLY} WHERE {where.sql}", where.args)
        return 0 if row is None else int(row[0] or 0)
    return _count(tx, f"task_run tr WHERE {where.sql}", where.args)


TASK_RUN_TALLY = "(SELECT nullif(state_type, '') AS state_type, runs FROM task_run_tally) tr"
"""The tally under the alias of task runs: conditions on the state type fit both."""


def is_tallied(filters: Filters) -> bool:
    """Whether `filters` ask about nothing but the state types of task runs."""
    own = filters.get("task_runs")
    if filters.keys() - {"task_runs"} or asked_keys(own) - {"state"}:
        return False
    return not isinstance(own, TaskRunFilter) or own.state is None or own.state.name is None


def _count(tx: ReadTx, source: str, args: tuple[Value, ...]) -> int:
    row = tx.one(f"SELECT count(*) FROM {source}", args)
    assert row is not None
    count: int = row[0]
    return count
