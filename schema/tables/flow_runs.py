"""The `flow_run` table: reading rows as answers, inserting, updating, deleting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.tables import states
from lictor.schema.tables.runs import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    estimated_run_time,
    flow_run_policy,
    lateness,
)
from lictor.schema.wire.flow_runs import FlowRun

COLUMNS = (
    "fr.id, fr.created, fr.updated, fr.name, fr.flow_id, fr.deployment_id, fr.deployment_version,"
    " q.id, coalesce(q.name, fr.work_queue_name), fr.flow_version, fr.parameters,"
    " fr.idempotency_key, fr.context, fr.empirical_policy, fr.tags, fr.labels,"
    " fr.parent_task_run_id, fr.state_id, fr.state_type, fr.state_name, fr.run_count,"
    " fr.expected_start_time, fr.next_scheduled_start_time, fr.start_time, fr.end_time,"
    " fr.total_run_time, fr.auto_scheduled, fr.infrastructure_document_id, fr.infrastructure_pid,"
    " fr.job_variables, fr.created_by, fr.state_timestamp,"
    " p.id, p.name, s.message, s.state_details, a.data"
)
"""What `to_wire` takes, in this order. A queue that is gone is none, whatever the run has kept."""

FROM = (
    "flow_run fr LEFT JOIN flow_run_state s ON s.id = fr.state_id"
    " LEFT JOIN artifact a ON a.id = s.result_artifact_id"
    " LEFT JOIN work_queue q ON q.id = fr.work_queue_id"
    " LEFT JOIN work_pool p ON p.id = q.work_pool_id"
)
"""The tables behind `COLUMNS`, under their aliases."""

_BY_ID = f"SELECT {COLUMNS} FROM {FROM} WHERE fr.id = ?"


def to_wire(row: tuple[Any, ...], now: datetime) -> FlowRun:
    """The answer for a row of `COLUMNS`; `now` dates the estimates."""
    (
        id_, created, updated, name, flow_id, deployment_id, deployment_version,
        work_queue_id, work_queue_name, flow_version, parameters, idempotency_key,
        context, policy, tags, labels, parent_task_run_id, state_id,
        state_type, state_name, run_count, expected, next_scheduled, start, end, total,
        auto_scheduled, infrastructure_document_id, infrastructure_pid, job_variables,
        created_by, state_timestamp, work_pool_id, work_pool_name, message, details, data,
    ) = row  # fmt: skip
    return FlowRun(
        id_, created, updated, name, flow_id, deployment_id, deployment_version,
        work_queue_id, work_queue_name, flow_version,
        EMPTY_OBJECT if parameters == "{}" else Raw(parameters),
        idempotency_key,
        EMPTY_OBJECT if context == "{}" else Raw(context),
        flow_run_policy(policy),
        EMPTY_LIST if tags == "[]" else Raw(tags),
        Raw(labels),
        parent_task_run_id, state_id, state_type, state_name, run_count,
        expected, next_scheduled, start, end, total,
        estimated_run_time(total, state_type, state_timestamp, now),
        lateness(expected, start, state_type, now),
        auto_scheduled == 1,
        infrastructure_document_id, infrastructure_pid,
        EMPTY_OBJECT if job_variables == "{}" else Raw(job_variables),
        None if created_by is None else Raw(created_by),
        work_pool_id,
        work_pool_name,
        None
        if state_id is None
        else states.state(
            state_id, state_type, state_name, state_timestamp, message, details, data
        ),
    )  # fmt: skip


def read(tx: ReadTx, id_: str, now: datetime) -> FlowRun | None:
    """The flow run called `id_`."""
    row = tx.one(_BY_ID, (id_,))
    return None if row is None else to_wire(row, now)


def read_by_idempotency_key(tx: ReadTx, flow_id: str, key: str, now: datetime) -> FlowRun | None:
    """The run that an earlier request with this key has made."""
    row = tx.one(
        f"SELECT {COLUMNS} FROM {FROM} WHERE fr.flow_id = ? AND fr.idempotency_key = ?",
        (flow_id, key),
    )
    return None if row is None else to_wire(row, now)


class NewFlowRun(NamedTuple):
    """The row of a new run; JSON columns as text. The order is that of `_INSERT`."""

    id: str
    created: str
    updated: str
    name: str
    flow_id: str
    deployment_id: str | None
    deployment_version: str | None
    work_queue_id: str | None
    work_queue_name: str | None
    flow_version: str | None
    parameters: str
    idempotency_key: str | None
    context: str
    empirical_policy: str
    tags: str
    labels: str
    parent_task_run_id: str | None
    infrastructure_document_id: str | None
    job_variables: str
    created_by: str | None
    state_id: str | None = None
    state_type: str | None = None
    state_name: str | None = None
    state_timestamp: str | None = None
    run_count: int = 0
    expected_start_time: str | None = None
    next_scheduled_start_time: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    total_run_time: float = 0.0


_INSERT = (
    f"INSERT INTO flow_run ({', '.join(NewFlowRun._fields)})"
    f" VALUES ({', '.join('?' * len(NewFlowRun._fields))}) RETURNING seq"
)


def new_row(
    new: NewFlowRun, message: str | None, details: str, data: str | None
) -> tuple[Any, ...]:
    """The row of `COLUMNS` that reading a run back would give, right after its insertion.

    Only of a run that is in no work queue.
    """
    return (
        new.id, new.created, new.updated, new.name, new.flow_id, new.deployment_id,
        new.deployment_version, None, new.work_queue_name, new.flow_version, new.parameters,
        new.idempotency_key, new.context, new.empirical_policy, new.tags, new.labels,
        new.parent_task_run_id, new.state_id, new.state_type, new.state_name, new.run_count,
        new.expected_start_time, new.next_scheduled_start_time, new.start_time, new.end_time,
        new.total_run_time, 0, new.infrastructure_document_id, None, new.job_variables,
        new.created_by, new.state_timestamp, None, None, message, details, data,
    )  # fmt: skip


def insert(tx: Tx, row: NewFlowRun, tags: list[str]) -> None:
    """Store a new run and index its tags. Its flow must exist."""
    inserted = tx.one(_INSERT, row)
    assert inserted is not None
    write_tags(tx, "flow_run_tag", inserted[0], tags)


def write_tags(tx: Tx, table: str, seq: int, tags: list[str]) -> None:
    """Index `tags` (duplicates allowed) for the row `seq`."""
    for tag in dict.fromkeys(tags):
        tx.run(f"INSERT INTO {table} (tag, seq) VALUES (?, ?)", (tag, seq))


def update(tx: Tx, id_: str, changes: Mapping[str, Value]) -> bool:
    """Write the changed columns, and only those: an index is paid for only when its column moves.

    Returns whether the run exists. Keys of `changes` are column names, never input.
    """
    columns = ", ".join([f"{name} = ?" for name in changes])
    return tx.run(f"UPDATE flow_run SET {columns} WHERE id = ?", (*changes.values(), id_)) > 0


def delete(tx: Tx, id_: str) -> bool:
    """Delete the run with its states, task runs, inputs and tags; False if there is none."""
    row = tx.one("SELECT seq, tags FROM flow_run WHERE id = ?", (id_,))
    if row is None:
        return False
    delete_tags(tx, "flow_run_tag", [row])
    delete_tags(
        tx,
        "task_run_tag",
        tx.all("SELECT seq, tags FROM task_run WHERE flow_run_id = ? AND tags <> '[]'", (id_,)),
    )
    tx.run(
        "DELETE FROM artifact WHERE id IN (SELECT result_artifact_id FROM flow_run_state"
        " WHERE flow_run_id = ? UNION ALL SELECT s.result_artifact_id FROM task_run t"
        " JOIN task_run_state s ON s.task_run_id = t.id WHERE t.flow_run_id = ?)",
        (id_, id_),
    )
    tx.run("DELETE FROM flow_run WHERE seq = ?", (row[0],))
    return True


def delete_tags(tx: Tx, table: str, rows: list[tuple[Any, ...]]) -> None:
    """Take rows, given as (seq, tags as JSON text), out of the tag index."""
    tx.many(
        f"DELETE FROM {table} WHERE tag = ? AND seq = ?",
        [(tag, seq) for seq, tags in rows for tag in msgspec.json.decode(tags)],
    )
