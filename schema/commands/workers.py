"""What happens to workers: a heartbeat arrives, none arrives in time, one is deleted.

Source: `record_worker_heartbeat` of `prefect.server.models.workers`,
`prefect.server.services.foreman`.
"""

from __future__ import annotations

from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import work_pools
from lictor.schema.commands.work_queues import Deadline
from lictor.schema.errors import NotFound
from lictor.schema.mint import Mint
from lictor.schema.rules.work_status import online_until
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.tables import workers as table
from lictor.schema.wire.workers import Heartbeat


def beat(tx: Tx, work_pool_name: str, body: Heartbeat, mint: Mint, settings: Settings) -> None:
    """Note a heartbeat: a worker that was not known is from now on, and its pool is ready.

    Raises:
        NotFound: there is no such pool.
    """
    work_pool_id = _pool_id(tx, work_pool_name)
    before = table.presence(tx, work_pool_id, body.name)
    interval_s = body.heartbeat_interval_seconds
    if interval_s is None and before is not None:
        interval_s = before.interval_s
    until = online_until(
        mint.now(), interval_s, settings.worker_missed_heartbeats, settings.worker_heartbeat_s
    )
    table.put(tx, work_pool_id, body.name, interval_s, until, mint)
    if before is None or before.status == "OFFLINE" or until < before.online_until:
        # Otherwise the deadline has only moved back, and the pool knows of the worker.
        tx.publish(Deadline("worker"))
    work_pools.settle_status(tx, work_pool_id, mint)


def mark_silent(tx: Tx, id_: str, mint: Mint) -> bool:
    """A worker whose deadline has passed is offline, and its pool with the last one; whether so."""
    row = tx.one("SELECT work_pool_id, status, online_until FROM worker WHERE id = ?", (id_,))
    if row is None:
        return False
    work_pool_id, status, until = row
    if status != "ONLINE" or mint.now() < until:
        return False
    tx.run("UPDATE worker SET status = 'OFFLINE' WHERE id = ?", (id_,))
    work_pools.settle_status(tx, work_pool_id, mint)
    return True


def delete(tx: Tx, work_pool_name: str, name: str, mint: Mint) -> None:
    """Delete a worker; a pool without any other that is online is not ready.

    Raises:
        NotFound: there is no such pool or no such worker.
    """
    work_pool_id = _pool_id(tx, work_pool_name)
    if not table.delete(tx, work_pool_id, name):
        raise NotFound("Worker not found.")
    work_pools.settle_status(tx, work_pool_id, mint)


def _pool_id(tx: Tx, name: str) -> str:
    work_pool_id = pool_table.id_of(tx, name)
    if work_pool_id is None:
        raise work_pools.not_found(name)
    return work_pool_id
