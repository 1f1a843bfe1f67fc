"""The `deployment` table: reading rows as answers, inserting, updating, deleting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.filters import joins
from lictor.schema.filters.clauses import is_in
from lictor.schema.filters.engine import Filters, condition
from lictor.schema.filters.sorts import DEPLOYMENT_ORDER, DeploymentSort
from lictor.schema.rules.slots import whole
from lictor.schema.tables import deployment_schedules, limits
from lictor.schema.tables.flow_runs import delete_tags, write_tags
from lictor.schema.tables.runs import EMPTY_LIST, EMPTY_OBJECT
from lictor.schema.times import Timestamp, epoch_s
from lictor.schema.wire.concurrency_limits import LimitAnswer
from lictor.schema.wire.deployments import Deployment, DeploymentSchedule

COLUMNS = (
    "d.id, d.created, d.updated, d.name, d.version, d.description, d.flow_id, d.paused,"
    " d.concurrency_limit_id, d.concurrency_options, d.job_variables, d.parameters, d.tags,"
    " d.labels, coalesce(wq.name, d.work_queue_name), wq.id, d.last_polled,"
    " d.parameter_openapi_schema, d.path, d.pull_steps, d.entrypoint, d.storage_document_id,"
    " d.infrastructure_document_id, d.created_by, d.updated_by, wp.name,"
    " d.status, d.enforce_parameter_schema"
)
"""What `to_wire` takes, in this order."""

FROM = (
    "deployment d LEFT JOIN work_queue wq ON wq.id = d.work_queue_id"
    " LEFT JOIN work_pool wp ON wp.id = wq.work_pool_id"
)
"""The tables behind `COLUMNS`, under their aliases."""

TRACKED = (
    "description", "tags", "parameters", "parameter_openapi_schema", "enforce_parameter_schema",
    "entrypoint", "path", "pull_steps", "work_queue_id", "infra_overrides", "paused", "labels",
    "version", "concurrency_limit_id", "concurrency_options",
)  # fmt: skip
"""What the event of a change tells about, by Prefect's names of the columns."""


def to_wire(
    row: tuple[Any, ...],
    schedules: list[DeploymentSchedule],
    limit: LimitAnswer | None,
) -> Deployment:
    """The answer for a row of `COLUMNS`."""
    (
        id_, created, updated, name, version, description, flow_id, paused,
        _limit_id, options, job_variables, parameters, tags,
        labels, queue_name, queue_id, last_polled, schema,
        path, pull_steps, entrypoint, storage, infrastructure,
        created_by, updated_by, pool_name, status, enforce,
    ) = row  # fmt: skip
    return Deployment(
        id_, created, updated, name, version, description, flow_id, paused == 1,
        schedules, None, limit,
        None if options is None else Raw(options),
        EMPTY_OBJECT if job_variables == "{}" else Raw(job_variables),
        EMPTY_OBJECT if parameters == "{}" else Raw(parameters),
        EMPTY_LIST if tags == "[]" else Raw(tags),
        Raw(labels),
        queue_name, queue_id, last_polled,
        EMPTY_OBJECT if schema == "{}" else Raw(schema),
        path,
        EMPTY_LIST if pull_steps == "[]" else Raw(pull_steps),
        entrypoint, storage, infrastructure,
        None if created_by is None else Raw(created_by),
        None if updated_by is None else Raw(updated_by),
        pool_name, status, enforce == 1,
    )  # fmt: skip


def read(tx: ReadTx, id_: str, now: Timestamp) -> Deployment | None:
    """The deployment called `id_`; `now` is when the slots in use of its limit are counted."""
    return _read_one(tx, "d.id = ?", (id_,), now)


def read_by_name(tx: ReadTx, flow_name: str, name: str, now: Timestamp) -> Deployment | None:
    """The deployment called `name` of the flow called `flow_name`."""
    flow = "d.flow_id = (SELECT f.id FROM flow f WHERE f.name = ?)"
    return _read_one(tx, f"{flow} AND d.name = ?", (flow_name, name), now)


def _read_one(tx: ReadTx, where: str, args: tuple[Value, ...], now: Timestamp) -> Deployment | None:
    row = tx.one(f"SELECT {COLUMNS} FROM {FROM} WHERE {where}", args)
    if row is None:
        return None
    limit = None if row[8] is None else _limits(tx, [row[8]], now)[row[8]]
    return to_wire(row, deployment_schedules.read_of(tx, row[0]), limit)


def read_many(
    tx: ReadTx, filters: Filters, sort: DeploymentSort, limit: int, offset: int, now: Timestamp
) -> list[Deployment]:
    """One page of the deployments that match."""
    where = condition("deployments", joins.OF_DEPLOYMENTS, filters)
    rows = tx.all(
        f"SELECT {COLUMNS} FROM {FROM} WHERE {where.sql}"
        f" ORDER BY {DEPLOYMENT_ORDER[sort]} LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    schedules = deployment_schedules.read_of_each(tx, [row[0] for row in rows])
    found = _limits(tx, {row[8] for row in rows if row[8] is not None}, now)
    return [to_wire(row, schedules.get(row[0], []), found.get(row[8])) for row in rows]


def _limits(tx: ReadTx, ids: Iterable[str], now: Timestamp) -> dict[str, LimitAnswer]:
    """The limits with these ids, by id."""
    now_at = epoch_s(now)
    return {
        limit.id: LimitAnswer(
            limit.id, limit.created, limit.updated, limit.active, limit.name, limit.limit,
            whole(limit.occupied(now_at)), limit.decay_per_s,
        )
        for limit in limits.read_each(tx, ids)
    }  # fmt: skip


def count(tx: ReadTx, filters: Filters) -> int:
    """How many deployments match."""
    where = condition("deployments", joins.OF_DEPLOYMENTS, filters)
    row = tx.one(f"SELECT count(*) FROM deployment d WHERE {where.sql}", where.args)
    assert row is not None
    number: int = row[0]
    return number


def matching_ids(tx: ReadTx, filters: Filters, limit: int) -> list[str]:
    """Ids of up to `limit` deployments that match, by name."""
    where = condition("deployments", joins.OF_DEPLOYMENTS, filters)
    rows = tx.all(
        f"SELECT d.id FROM deployment d WHERE {where.sql}"
        f" ORDER BY {DEPLOYMENT_ORDER['NAME_ASC']} LIMIT ?",
        (*where.args, limit),
    )
    return [id_ for (id_,) in rows]


def ids_of_flow(tx: ReadTx, flow_id: str, limit: int) -> list[str]:
    """Up to `limit` deployments of a flow."""
    rows = tx.all("SELECT id FROM deployment WHERE flow_id = ? LIMIT ?", (flow_id, limit))
    return [id_ for (id_,) in rows]


def count_by_flow(tx: ReadTx, flow_ids: Sequence[str]) -> dict[str, int]:
    """The number of deployments of each of these flows."""
    among = is_in("flow_id", flow_ids)
    rows = tx.all(
        f"SELECT flow_id, count(*) FROM deployment WHERE {among.sql} GROUP BY flow_id", among.args
    )
    return {**dict.fromkeys(flow_ids, 0), **dict(rows)}


_TRACKED_COLUMNS = ", ".join(
    "job_variables" if name == "infra_overrides" else name for name in TRACKED
)


def tracked(tx: ReadTx, id_: str) -> dict[str, Value]:
    """What events tell about the deployment, as it is stored, by the names of `TRACKED`."""
    row = tx.one(f"SELECT {_TRACKED_COLUMNS} FROM deployment WHERE id = ?", (id_,))
    assert row is not None
    return dict(zip(TRACKED, row, strict=True))


def insert(tx: Tx, columns: Mapping[str, Value], tags: list[str]) -> None:
    """Store a new deployment and index its tags. Its flow must exist, its name be free in it."""
    names = ", ".join(columns)
    row = tx.one(
        f"INSERT INTO deployment ({names}) VALUES ({', '.join('?' * len(columns))}) RETURNING seq",
        tuple(columns.values()),
    )
    assert row is not None
    write_tags(tx, "deployment_tag", row[0], tags)


def update(tx: Tx, id_: str, columns: Mapping[str, Value], tags: list[str] | None = None) -> None:
    """Write these columns of a deployment, which must exist; `tags`, if given, replace its own."""
    if tags is not None:
        row = tx.one("SELECT seq, tags FROM deployment WHERE id = ?", (id_,))
        assert row is not None
        delete_tags(tx, "deployment_tag", [row])
        write_tags(tx, "deployment_tag", row[0], tags)
    settings = ", ".join(f"{name} = ?" for name in columns)
    tx.run(f"UPDATE deployment SET {settings} WHERE id = ?", (*columns.values(), id_))


def delete(tx: Tx, id_: str) -> None:
    """Delete a deployment, which must exist, with its schedules and tags."""
    row = tx.one("SELECT seq, tags FROM deployment WHERE id = ?", (id_,))
    assert row is not None
    delete_tags(tx, "deployment_tag", [row])
    tx.run("DELETE FROM deployment WHERE seq = ?", (row[0],))
