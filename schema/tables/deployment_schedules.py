"""The `deployment_schedule` table: reading rows as answers, inserting, updating, deleting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.filters.clauses import is_in
from lictor.schema.tables.runs import EMPTY_OBJECT
from lictor.schema.wire.deployments import DeploymentSchedule

COLUMNS = (
    "ds.id, ds.created, ds.updated, ds.deployment_id, ds.schedule, ds.active,"
    " ds.max_scheduled_runs, ds.parameters, ds.slug"
)
"""What `to_wire` takes, in this order."""

_ORDER = "ds.updated DESC, ds.seq DESC"


def to_wire(row: tuple[Any, ...]) -> DeploymentSchedule:
    """The answer for a row of `COLUMNS`."""
    id_, created, updated, deployment_id, schedule, active, runs_max, parameters, slug = row
    return DeploymentSchedule(
        id_, created, updated, deployment_id, Raw(schedule), active == 1, runs_max,
        EMPTY_OBJECT if parameters == "{}" else Raw(parameters), slug,
    )  # fmt: skip


def read_of(tx: ReadTx, deployment_id: str) -> list[DeploymentSchedule]:
    """The schedules of one deployment, the one changed last first."""
    rows = tx.all(
        f"SELECT {COLUMNS} FROM deployment_schedule ds WHERE ds.deployment_id = ?"
        f" ORDER BY {_ORDER}",
        (deployment_id,),
    )
    return [to_wire(row) for row in rows]


def read_of_each(tx: ReadTx, deployment_ids: Sequence[str]) -> dict[str, list[DeploymentSchedule]]:
    """The schedules of several deployments, by deployment; those without any are left out."""
    among = is_in("ds.deployment_id", deployment_ids)
    rows = tx.all(
        f"SELECT {COLUMNS} FROM deployment_schedule ds WHERE {among.sql} ORDER BY {_ORDER}",
        among.args,
    )
    found: dict[str, list[DeploymentSchedule]] = {}
    for row in rows:
        found.setdefault(row[3], []).append(to_wire(row))
    return found


def insert(tx: Tx, schedule: DeploymentSchedule) -> None:
    """Store a new schedule; its slug must be free in its deployment, which must exist."""
    tx.run(
        "INSERT INTO deployment_schedule (id, created, updated, deployment_id, schedule, active,"
        " max_scheduled_runs, parameters, slug) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            schedule.id, schedule.created, schedule.updated, schedule.deployment_id,
            bytes(schedule.schedule).decode(), int(schedule.active), schedule.max_scheduled_runs,
            bytes(schedule.parameters).decode(), schedule.slug,
        ),
    )  # fmt: skip


def update(tx: Tx, deployment_id: str, id_: str, changes: Mapping[str, Value]) -> bool:
    """Write these columns of a schedule of that deployment; whether there is one."""
    columns = ", ".join(f"{name} = ?" for name in changes)
    return (
        tx.run(
            f"UPDATE deployment_schedule SET {columns} WHERE id = ? AND deployment_id = ?",
            (*changes.values(), id_, deployment_id),
        )
        > 0
    )


def delete(tx: Tx, deployment_id: str, id_: str) -> bool:
    """Delete a schedule of that deployment; whether there was one."""
    sql = "DELETE FROM deployment_schedule WHERE id = ? AND deployment_id = ?"
    return tx.run(sql, (id_, deployment_id)) > 0


def delete_of(tx: Tx, deployment_id: str) -> None:
    """Delete every schedule of a deployment."""
    tx.run("DELETE FROM deployment_schedule WHERE deployment_id = ?", (deployment_id,))
