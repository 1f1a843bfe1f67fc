"""The `work_queue` table: reading rows as answers, inserting, updating, deleting.

`RESERVED` is what takes a slot of a queue. Pools, and queues asked for in their pool, do not count
runs that are being cancelled; queues asked for without a pool do.

Source: `prefect.server.models.{workers,work_queues}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Raw

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.filters.clauses import Clause, all_of
from lictor.schema.filters.engine import of_filter
from lictor.schema.filters.work_pools import WorkQueueFilter
from lictor.schema.times import parse
from lictor.schema.wire.work_queues import SlotHolder, WorkQueue

Counting = Literal["in_pool", "alone"]

RESERVED: Mapping[Counting, str] = {
    "in_pool": "('PENDING', 'RUNNING')",
    "alone": "('PENDING', 'RUNNING', 'CANCELLING')",
}

_FROM = "work_queue wq CROSS JOIN work_pool p ON p.id = wq.work_pool_id"


def _columns(counting: Counting) -> str:
    return (
        "wq.id, wq.created, wq.updated, wq.name, wq.description, wq.is_paused,"
        " wq.concurrency_limit, wq.priority, wq.work_pool_id, wq.filter, wq.last_polled, p.name,"
        " wq.status, CASE WHEN wq.concurrency_limit IS NOT NULL THEN"
        " (SELECT count(*) FROM flow_run r WHERE r.work_queue_id = wq.id"
        f" AND r.state_type IN {RESERVED[counting]}) END"
    )


_SELECT: Mapping[Counting, str] = {
    "in_pool": f"SELECT {_columns('in_pool')} FROM {_FROM}",
    "alone": f"SELECT {_columns('alone')} FROM {_FROM}",
}


def to_wire(row: tuple[Any, ...]) -> WorkQueue:
    """The answer for a row of the columns above."""
    (
        id_, created, updated, name, description, is_paused, limit, priority, work_pool_id, filter_,
        last_polled, work_pool_name, status, active_slots,
    ) = row  # fmt: skip
    return WorkQueue(
        id_, created, updated, name, description, is_paused == 1, limit, priority, work_pool_id,
        None if filter_ is None else Raw(filter_), last_polled, work_pool_name, status,
        active_slots,
    )  # fmt: skip


def read(tx: ReadTx, id_: str, counting: Counting = "in_pool") -> WorkQueue | None:
    """The queue called `id_`."""
    row = tx.one(f"{_SELECT[counting]} WHERE wq.id = ?", (id_,))
    return None if row is None else to_wire(row)


def read_in_pool(
    tx: ReadTx, work_pool_id: str, name: str, counting: Counting = "in_pool"
) -> WorkQueue | None:
    """The queue of a pool whose name is `name`."""
    row = tx.one(
        f"{_SELECT[counting]} WHERE wq.work_pool_id = ? AND wq.name = ?", (work_pool_id, name)
    )
    return None if row is None else to_wire(row)


def read_anywhere(tx: ReadTx, name: str) -> WorkQueue | None:
    """The oldest queue of any pool whose name is `name`."""
    row = tx.one(f"{_SELECT['alone']} WHERE wq.name = ? ORDER BY wq.seq LIMIT 1", (name,))
    return None if row is None else to_wire(row)


def read_page(
    tx: ReadTx, criteria: WorkQueueFilter | None, limit: int, offset: int
) -> list[WorkQueue]:
    """A page of the queues of all pools that match, by name."""
    where = of_filter(criteria or WorkQueueFilter())
    rows = tx.all(
        f"{_SELECT['alone']} WHERE {where.sql} ORDER BY wq.name, wq.seq LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    return [to_wire(row) for row in rows]


def read_pool_page(
    tx: ReadTx, work_pool_id: str, criteria: WorkQueueFilter | None, limit: int, offset: int
) -> list[WorkQueue]:
    """A page of the queues of a pool that match, by priority."""
    own = Clause("wq.work_pool_id = ?", (work_pool_id,))
    where = all_of([own, of_filter(criteria or WorkQueueFilter())])
    rows = tx.all(
        f"{_SELECT['in_pool']} WHERE {where.sql} ORDER BY wq.priority, wq.seq LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    return [to_wire(row) for row in rows]


def count_in_pool(tx: ReadTx, work_pool_id: str) -> int:
    """How many queues a pool has."""
    row = tx.one("SELECT count(*) FROM work_queue WHERE work_pool_id = ?", (work_pool_id,))
    assert row is not None
    number: int = row[0]
    return number


def priorities(tx: ReadTx, work_pool_id: str) -> list[tuple[str, int]]:
    """Id and priority of each queue of a pool, by priority."""
    return tx.all(
        "SELECT id, priority FROM work_queue WHERE work_pool_id = ? ORDER BY priority, seq",
        (work_pool_id,),
    )


def insert(tx: Tx, queue: WorkQueue) -> None:
    """Store a new queue. Its pool must exist, and its name must be free there."""
    tx.run(
        "INSERT INTO work_queue (id, created, updated, name, description, is_paused,"
        " concurrency_limit, priority, filter, last_polled, status, work_pool_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            queue.id, queue.created, queue.updated, queue.name, queue.description,
            int(queue.is_paused), queue.concurrency_limit, queue.priority,
            None if queue.filter is None else bytes(queue.filter).decode(),
            queue.last_polled, queue.status, queue.work_pool_id,
        ),
    )  # fmt: skip


def update(tx: Tx, id_: str, changes: Mapping[str, Value]) -> None:
    """Write these columns. Their names are never input."""
    columns = ", ".join([f"{name} = ?" for name in changes])
    tx.run(f"UPDATE work_queue SET {columns} WHERE id = ?", (*changes.values(), id_))


def delete(tx: Tx, id_: str) -> None:
    """Delete the queue; its runs go on without it."""
    tx.run("DELETE FROM work_queue WHERE id = ?", (id_,))


def late_runs(tx: ReadTx, id_: str) -> int:
    """How many runs of the queue are named Late."""
    row = tx.one(
        "SELECT count(*) FROM flow_run WHERE work_queue_id = ? AND state_type = 'SCHEDULED'"
        " AND state_name = 'Late'",
        (id_,),
    )
    assert row is not None
    number: int = row[0]
    return number


def count_slot_holders(tx: ReadTx, id_: str) -> int:
    """How many runs take slots of the queue in its pool, whether it has a limit or not."""
    row = tx.one(
        "SELECT count(*) FROM flow_run"
        f" WHERE work_queue_id = ? AND state_type IN {RESERVED['in_pool']}",
        (id_,),
    )
    assert row is not None
    number: int = row[0]
    return number


def names_in_pool(tx: ReadTx, work_pool_id: str) -> list[tuple[str, str]]:
    """Id and name of each queue of a pool, by priority."""
    return tx.all(
        "SELECT id, name FROM work_queue WHERE work_pool_id = ? ORDER BY priority, seq",
        (work_pool_id,),
    )


def id_in_pool(tx: ReadTx, work_pool_id: str, name: str) -> str | None:
    """The id of the queue of a pool whose name is `name`."""
    row = tx.one(
        "SELECT id FROM work_queue WHERE work_pool_id = ? AND name = ?", (work_pool_id, name)
    )
    return None if row is None else row[0]


def slot_holders(tx: ReadTx, id_: str, limit: int, now: datetime) -> list[SlotHolder]:
    """The first runs that take slots of the queue in its pool, in the order of their making."""
    rows: Sequence[tuple[Any, ...]] = tx.all(
        "SELECT id, name, state_type, state_name, start_time, state_timestamp FROM flow_run"
        f" WHERE work_queue_id = ? AND state_type IN {RESERVED['in_pool']} ORDER BY id LIMIT ?",
        (id_, limit),
    )
    return [
        SlotHolder(id_, name, state_type, state_name, start, since, seconds_since(since, now))
        for id_, name, state_type, state_name, start, since in rows
    ]


def seconds_since(moment: str | None, now: datetime) -> float | None:
    """Seconds from a stored moment to `now`."""
    return None if moment is None else (now - parse(moment)).total_seconds()
