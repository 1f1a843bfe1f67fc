"""The events of work pools and work queues, stored in the transaction that changes them.

Source: `prefect.server.models.events`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.events.event import RESOURCE_ID, RESOURCE_NAME, RESOURCE_ROLE, Event, Resource
from lictor.schema.events.lifecycle import Action, lifecycle_event
from lictor.schema.mint import Mint
from lictor.schema.rules.work_status import FOLLOWS_S, Status, status_word
from lictor.schema.tables import events
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.times import seconds_between
from lictor.schema.wire.work_pools import WorkPool
from lictor.schema.wire.work_queues import WorkQueue

POOL_TYPE = "prefect.work-pool.type"


def pool_changed(
    tx: Tx, pool: WorkPool, action: Action, mint: Mint, payload: dict[str, Any] | None = None
) -> None:
    """Store that a pool was made, changed or deleted."""
    event = lifecycle_event(
        mint,
        "work-pool",
        action,
        pool.id,
        pool.name,
        payload or {},
        labels={POOL_TYPE: pool.type, RESOURCE_ROLE: "work-pool"},
        related=[] if action == "updated" else _parts(pool),
    )
    events.insert(tx, [event])


def _parts(pool: WorkPool) -> list[Resource]:
    """The pool's default queue and the block of its result storage."""
    parts = [_resource("work-queue", pool.default_queue_id, "default-queue")]
    storage = msgspec.json.decode(pool.storage_configuration)
    block_id = storage.get("default_result_storage_block_id")
    if block_id is not None:
        parts.append(_resource("block-document", block_id, "result-storage"))
    return parts


def pool_status_changed(
    tx: Tx, pool: WorkPool, status: Status, mint: Mint, *, is_new: bool = False
) -> None:
    """Store that a pool has come to be `status`; the next such event will name this one.

    Except for the event of a pool that `is_new`, which none follows.
    """
    now = mint.now()
    before = pool_table.last_status_event(tx, pool.id)
    is_recent = before is not None and seconds_between(before.occurred, now) < FOLLOWS_S
    event = Event(
        occurred=now,
        event=f"prefect.work-pool.{status_word(status)}",
        resource={
            RESOURCE_ID: f"prefect.work-pool.{pool.id}",
            RESOURCE_NAME: pool.name,
            POOL_TYPE: pool.type,
        },
        related=[],
        payload={},
        id=mint.id(),
        follows=before.id if before is not None and is_recent else None,
        received=now,
    )
    events.insert(tx, [event])
    if not is_new:
        pool_table.update(tx, pool.id, {"last_status_event_id": event.id, "last_status_at": now})


def queue_changed(
    tx: Tx, queue: WorkQueue, action: Action, mint: Mint, payload: dict[str, Any] | None = None
) -> None:
    """Store that a queue was made, changed or deleted."""
    event = lifecycle_event(
        mint,
        "work-queue",
        action,
        queue.id,
        queue.name,
        payload or {},
        labels={RESOURCE_ROLE: "work-queue"},
        related=_pool_of(tx, queue),
    )
    events.insert(tx, [event])


def queue_status_changed(tx: Tx, queue: WorkQueue, status: Status, mint: Mint) -> None:
    """Store that a queue has come to be `status`."""
    now = mint.now()
    event = Event(
        occurred=now,
        event=f"prefect.work-queue.{status_word(status)}",
        resource={
            RESOURCE_ID: f"prefect.work-queue.{queue.id}",
            RESOURCE_NAME: queue.name,
            RESOURCE_ROLE: "work-queue",
        },
        related=_pool_of(tx, queue),
        payload={},
        id=mint.id(),
        follows=None,
        received=now,
    )
    events.insert(tx, [event])


def related_to_run(tx: ReadTx, work_queue_id: str) -> list[Resource]:
    """The queue of a run and its pool, as the run's events name them; nothing if it is gone."""
    row = tx.one(
        "SELECT q.name, p.id, p.name, p.type FROM work_queue q"
        " CROSS JOIN work_pool p ON p.id = q.work_pool_id WHERE q.id = ?",
        (work_queue_id,),
    )
    if row is None:
        return []
    queue = _resource("work-queue", work_queue_id, "work-queue")
    queue[RESOURCE_NAME] = row[0]
    return [queue, _pool(*row[1:])]


def _pool_of(tx: ReadTx, queue: WorkQueue) -> list[Resource]:
    row = tx.one("SELECT id, name, type FROM work_pool WHERE id = ?", (queue.work_pool_id,))
    return [] if row is None else [_pool(*row)]


def _pool(id_: str, name: str, type_: str) -> Resource:
    resource = _resource("work-pool", id_, "work-pool")
    resource[RESOURCE_NAME] = name
    resource[POOL_TYPE] = type_
    return resource


def _resource(kind: str, id_: str, role: str) -> Resource:
    return {RESOURCE_ID: f"prefect.{kind}.{id_}", RESOURCE_ROLE: role}
