"""The `worker` table: who serves a work pool, and until when they count as online."""

from __future__ import annotations

from typing import Any, NamedTuple

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.filters.clauses import Clause, all_of
from lictor.schema.filters.engine import of_filter
from lictor.schema.filters.workers import WorkerFilter
from lictor.schema.mint import Mint
from lictor.schema.rules.work_status import WorkerStatus, worker_status
from lictor.schema.times import Timestamp
from lictor.schema.wire.workers import Worker


def _to_wire(row: tuple[Any, ...], now: Timestamp) -> Worker:
    id_, created, updated, name, work_pool_id, heartbeat, interval_s, until = row
    return Worker(
        id_, created, updated, name, work_pool_id, heartbeat, interval_s, worker_status(until, now)
    )


def read_page(
    tx: ReadTx,
    work_pool_id: str,
    criteria: WorkerFilter | None,
    limit: int,
    offset: int,
    now: Timestamp,
) -> list[Worker]:
    """A page of the workers of a pool that match, the newest heartbeat first."""
    own = Clause("w.work_pool_id = ?", (work_pool_id,))
    where = all_of([own, of_filter(criteria or WorkerFilter())])
    rows = tx.all(
        "SELECT w.id, w.created, w.updated, w.name, w.work_pool_id, w.last_heartbeat_time,"
        f" w.heartbeat_interval_seconds, w.online_until FROM worker w WHERE {where.sql}"
        " ORDER BY w.last_heartbeat_time DESC, w.seq DESC LIMIT ? OFFSET ?",
        (*where.args, limit, offset),
    )
    return [_to_wire(row, now) for row in rows]


class Presence(NamedTuple):
    """Until when a worker is taken to be there, unless it already is not."""

    interval_s: int | None
    status: WorkerStatus
    online_until: Timestamp


def presence(tx: ReadTx, work_pool_id: str, name: str) -> Presence | None:
    """What is known of the worker of this name; None: nothing."""
    row = tx.one(
        "SELECT heartbeat_interval_seconds, status, online_until FROM worker"
        " WHERE work_pool_id = ? AND name = ?",
        (work_pool_id, name),
    )
    return None if row is None else Presence(*row)


def put(
    tx: Tx, work_pool_id: str, name: str, interval_s: int | None, until: Timestamp, mint: Mint
) -> None:
    """Write the heartbeat of a worker, known or new: it is online `until`."""
    now = mint.now()
    tx.run(
        "INSERT INTO worker (id, created, updated, name, work_pool_id, last_heartbeat_time,"
        " heartbeat_interval_seconds, status, online_until)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'ONLINE', ?)"
        " ON CONFLICT (work_pool_id, name) DO UPDATE SET updated = excluded.updated,"
        " last_heartbeat_time = excluded.last_heartbeat_time,"
        " heartbeat_interval_seconds = excluded.heartbeat_interval_seconds,"
        " status = excluded.status, online_until = excluded.online_until",
        (mint.id(), now, now, name, work_pool_id, now, interval_s, until),
    )


def is_any_online(tx: ReadTx, work_pool_id: str) -> bool:
    """Whether a worker of the pool is online."""
    row = tx.one(
        "SELECT 1 FROM worker WHERE work_pool_id = ? AND status = 'ONLINE' LIMIT 1",
        (work_pool_id,),
    )
    return row is not None


def delete(tx: Tx, work_pool_id: str, name: str) -> bool:
    """Delete a worker; False if there is none of this name."""
    return (
        tx.run("DELETE FROM worker WHERE work_pool_id = ? AND name = ?", (work_pool_id, name)) > 0
    )
