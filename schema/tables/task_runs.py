"""The `task_run` table: reading rows as answers, inserting, updating, deleting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.tables import states
from lictor.schema.tables.flow_runs import delete_tags, write_tags
from lictor.schema.tables.runs import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    estimated_run_time,
    lateness,
    task_run_policy,
)
from lictor.schema.wire.task_runs import TaskRun

COLUMNS = (
    "tr.id, tr.created, tr.updated, tr.name, tr.flow_run_id, tr.task_key, tr.dynamic_key,"
    " tr.cache_key, tr.cache_expiration, tr.task_version, tr.empirical_policy, tr.tags, tr.labels,"
    " tr.task_inputs, tr.state_id, tr.state_type, tr.state_name, tr.run_count,"
    " tr.flow_run_run_count, tr.expected_start_time, tr.next_scheduled_start_time, tr.start_time,"
    " tr.end_time, tr.total_run_time, tr.state_timestamp,"
    " s.message, s.state_details, a.data"
)
"""What `to_wire` takes, in this order."""

FROM = (
    "task_run tr LEFT JOIN task_run_state s ON s.id = tr.state_id"
    " LEFT JOIN artifact a ON a.id = s.result_artifact_id"
)
"""The tables behind `COLUMNS`, under their aliases."""


def to_wire(row: tuple[Any, ...], now: datetime) -> TaskRun:
    """The answer for a row of `COLUMNS`; `now` dates the estimates."""
    (
        id_, created, updated, name, flow_run_id, task_key, dynamic_key, cache_key,
        cache_expiration, task_version, policy, tags, labels, task_inputs,
        state_id, state_type, state_name, run_count, flow_run_run_count,
        expected, next_scheduled, start, end, total, state_timestamp,
        message, details, data,
    ) = row  # fmt: skip
    return TaskRun(
        id_, created, updated, name, flow_run_id, task_key, dynamic_key, cache_key,
        cache_expiration, task_version,
        task_run_policy(policy),
        EMPTY_LIST if tags == "[]" else Raw(tags),
        EMPTY_OBJECT if labels == "{}" else Raw(labels),
        EMPTY_OBJECT if task_inputs == "{}" else Raw(task_inputs),
        state_id, state_type, state_name, run_count, flow_run_run_count,
        expected, next_scheduled, start, end, total,
        estimated_run_time(total, state_type, state_timestamp, now),
        lateness(expected, start, state_type, now),
        None
        if state_id is None
        else states.state(
            state_id, state_type, state_name, state_timestamp, message, details, data
        ),
    )  # fmt: skip


def read(tx: ReadTx, id_: str, now: datetime) -> TaskRun | None:
    """The task run called `id_`."""
    row = tx.one(f"SELECT {COLUMNS} FROM {FROM} WHERE tr.id = ?", (id_,))
    return None if row is None else to_wire(row, now)


def read_by_keys(
    tx: ReadTx, flow_run_id: str | None, task_key: str, dynamic_key: str, now: datetime
) -> TaskRun | None:
    """The task run with this natural key, inside its flow run or outside of any."""
    select = f"SELECT {COLUMNS} FROM {FROM} WHERE tr.task_key = ? AND tr.dynamic_key = ?"
    if flow_run_id is None:
        row = tx.one(f"{select} AND tr.flow_run_id IS NULL", (task_key, dynamic_key))
    else:
        row = tx.one(f"{select} AND tr.flow_run_id = ?", (task_key, dynamic_key, flow_run_id))
    return None if row is None else to_wire(row, now)


class NewTaskRun(NamedTuple):
    """The row of a new task run; JSON columns as text. The order is that of `_INSERT`."""

    id: str
    created: str
    updated: str
    name: str
    flow_run_id: str | None
    task_key: str
    dynamic_key: str
    cache_key: str | None
    cache_expiration: str | None
    task_version: str | None
    empirical_policy: str
    tags: str
    labels: str
    task_inputs: str
    state_id: str | None = None
    state_type: str | None = None
    state_name: str | None = None
    state_timestamp: str | None = None
    run_count: int = 0
    flow_run_run_count: int = 0
    expected_start_time: str | None = None
    next_scheduled_start_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    total_run_time: float = 0.0


_INSERT = (
    f"INSERT INTO task_run ({', '.join(NewTaskRun._fields)})"
    f" VALUES ({', '.join('?' * len(NewTaskRun._fields))}) RETURNING seq"
)


def insert(tx: Tx, row: NewTaskRun, tags: list[str]) -> None:
    """Store a new task run and index its tags. Its flow run, if any, must exist."""
    inserted = tx.one(_INSERT, row)
    assert inserted is not None
    write_tags(tx, "task_run_tag", inserted[0], tags)


def update(tx: Tx, id_: str, changes: Mapping[str, Value]) -> bool:
    """Write the changed columns. Keys of `changes` are column names, never input."""
    columns = ", ".join([f"{name} = ?" for name in changes])
    return tx.run(f"UPDATE task_run SET {columns} WHERE id = ?", (*changes.values(), id_)) > 0


def delete(tx: Tx, id_: str) -> bool:
    """Delete the task run with its states and tags; False if there is none."""
    row = tx.one("SELECT seq, tags FROM task_run WHERE id = ?", (id_,))
    if row is None:
        return False
    delete_tags(tx, "task_run_tag", [row])
    tx.run(
        "DELETE FROM artifact WHERE id IN"
        " (SELECT result_artifact_id FROM task_run_state WHERE task_run_id = ?)",
        (id_,),
    )
    tx.run("DELETE FROM task_run WHERE seq = ?", (row[0],))
    return True
