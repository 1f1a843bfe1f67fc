"""The `work_pool` table: reading rows as answers, inserting, updating, deleting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.filters.engine import of_filter
from lictor.schema.filters.work_pools import WorkPoolFilter
from lictor.schema.rules.work_status import AGENT, Status
from lictor.schema.tables.runs import EMPTY_OBJECT
from lictor.schema.times import Timestamp
from lictor.schema.wire.work_pools import WorkPool

ACTIVE_SLOTS = (
    "(SELECT count(*) FROM work_queue q CROSS JOIN flow_run r ON r.work_queue_id = q.id"
    " WHERE q.work_pool_id = wp.id AND r.state_type IN ('PENDING', 'RUNNING'))"
)
"""How many runs take slots of the pool `wp`, whether it has a limit or not."""

_COLUMNS = (
    "wp.id, wp.created, wp.updated, wp.name, wp.description, wp.type, wp.base_job_template,"
    " wp.is_paused, wp.concurrency_limit, wp.status, wp.default_queue_id,"
    " wp.storage_configuration,"
    f" CASE WHEN wp.concurrency_limit IS NOT NULL THEN {ACTIVE_SLOTS} END"
)


def to_wire(row: tuple[Any, ...]) -> WorkPool:
    """The answer for a row of the columns above."""
    (
        id_, created, updated, name, description, type_, template, is_paused, limit, status,
        default_queue_id, storage, active_slots,
    ) = row  # fmt: skip
    return WorkPool(
        id_, created, updated, name, description, type_,
        EMPTY_OBJECT if template == "{}" else Raw(template),
        is_paused == 1, limit, None if type_ == AGENT else status, default_queue_id, Raw(storage),
        active_slots,
    )  # fmt: skip


def read(tx: ReadTx, id_: str) -> WorkPool | None:
    """The pool called `id_`."""
    row = tx.one(f"SELECT {_COLUMNS} FROM work_pool wp WHERE wp.id = ?", (id_,))
    return None if row is None else to_wire(row)


def read_by_name(tx: ReadTx, name: str) -> WorkPool | None:
    """The pool whose name is `name`."""
    row = tx.one(f"SELECT {_COLUMNS} FROM work_pool wp WHERE wp.name = ?", (name,))
    return None if row is None else to_wire(row)


def id_of(tx: ReadTx, name: str) -> str | None:
    """The id of the pool whose name is `name`."""
    row = tx.one("SELECT id FROM work_pool WHERE name = ?", (name,))
    return None if row is None else row[0]


def read_page(
    tx: ReadTx, criteria: WorkPoolFilter | None, limit: int, offset: int
) -> list[WorkPool]:
    """A page of the pools that match, by name."""
    where = of_filter(criteria or WorkPoolFilter())
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM work_pool wp WHERE {where.sql} ORDER BY wp.name LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    return [to_wire(row) for row in rows]


def count(tx: ReadTx, criteria: WorkPoolFilter | None) -> int:
    """How many pools match."""
    where = of_filter(criteria or WorkPoolFilter())
    row = tx.one(f"SELECT count(*) FROM work_pool wp WHERE {where.sql}", where.args)
    assert row is not None
    number: int = row[0]
    return number


def active_slots(tx: ReadTx, id_: str) -> int:
    """How many runs take slots of the pool, whether it has a limit or not."""
    row = tx.one(f"SELECT {ACTIVE_SLOTS} FROM work_pool wp WHERE wp.id = ?", (id_,))
    return 0 if row is None else row[0]


def insert(tx: Tx, pool: WorkPool, status: Status) -> None:
    """Store a new pool, whose name must be free. `status`: that of a pool of agents too."""
    tx.run(
        "INSERT INTO work_pool (id, created, updated, name, description, type, base_job_template,"
        " is_paused, concurrency_limit, status, default_queue_id, storage_configuration)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            pool.id, pool.created, pool.updated, pool.name, pool.description, pool.type,
            bytes(pool.base_job_template).decode(), int(pool.is_paused), pool.concurrency_limit,
            status, pool.default_queue_id, bytes(pool.storage_configuration).decode(),
        ),
    )  # fmt: skip


def update(tx: Tx, id_: str, changes: Mapping[str, Value]) -> None:
    """Write these columns. Their names are never input."""
    columns = ", ".join([f"{name} = ?" for name in changes])
    tx.run(f"UPDATE work_pool SET {columns} WHERE id = ?", (*changes.values(), id_))


class StatusEvent(NamedTuple):
    """The last event that told of a pool's status."""

    id: str
    occurred: Timestamp


def last_status_event(tx: ReadTx, id_: str) -> StatusEvent | None:
    """The event that told of the pool's status last."""
    row = tx.one("SELECT last_status_event_id, last_status_at FROM work_pool WHERE id = ?", (id_,))
    return None if row is None or row[0] is None else StatusEvent(*row)


def delete(tx: Tx, id_: str) -> None:
    """Delete the pool with its queues and workers."""
    tx.run("DELETE FROM work_pool WHERE id = ?", (id_,))
