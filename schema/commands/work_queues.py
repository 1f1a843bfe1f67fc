"""What requests do to work queues: make, find, change, delete, and note that they were polled.

Source: `prefect.server.models.{workers,work_queues}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw

from lictor.config.settings import Settings
from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands import work_events
from lictor.schema.errors import Conflict, IntegrityConflict, NotFound
from lictor.schema.mint import Mint
from lictor.schema.rules import work_priorities, work_status
from lictor.schema.tables import agent_queues
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.tables import work_queues as table
from lictor.schema.tables.runs import encode_text
from lictor.schema.times import text
from lictor.schema.wire.work_queues import WorkQueue, WorkQueueCreate, WorkQueueUpdate


class Deadline(msgspec.Struct, frozen=True):
    """Published when the status of one of `kind` holds until a deadline, or an earlier one."""

    kind: Literal["worker", "work_queue", "deployment"]


def create(
    tx: Tx, work_pool_id: str, work_pool_name: str, body: WorkQueueCreate, mint: Mint
) -> WorkQueue:
    """A new queue of a pool that exists.

    Raises:
        Conflict: the pool has a queue of this name.
    """
    return insert(tx, mint.id(), work_pool_id, work_pool_name, body, mint)


def insert(
    tx: Tx, id_: str, work_pool_id: str, work_pool_name: str, body: WorkQueueCreate, mint: Mint
) -> WorkQueue:
    """`create` under an id that is known before."""
    _require_free(tx, work_pool_id, work_pool_name, body.name)
    now, others = mint.now(), table.priorities(tx, work_pool_id)
    priority = body.priority
    if priority is None:
        priority = work_priorities.first_free(taken for _, taken in others)
    queue = WorkQueue(
        id=id_,
        created=now,
        updated=now,
        name=body.name,
        description=body.description or "",
        is_paused=body.is_paused,
        concurrency_limit=body.concurrency_limit,
        priority=priority,
        work_pool_id=work_pool_id,
        filter=None if body.filter is None else Raw(encode_text(body.filter)),
        last_polled=None,
        work_pool_name=work_pool_name,
        # Of a new queue, even of one that is paused, Prefect says so.
        status="NOT_READY",
        active_slots=None if body.concurrency_limit is None else 0,
    )
    table.insert(tx, queue)
    _make_room(tx, others, queue.id, priority)
    work_events.queue_changed(tx, queue, "created", mint)
    return queue


def find(tx: ReadTx, work_pool_name: str, name: str | None) -> WorkQueue:
    """The queue of a pool, both by name; without a name the pool's default queue.

    Raises:
        NotFound: there is no such pool or no such queue.
    """
    pool = tx.one("SELECT id, default_queue_id FROM work_pool WHERE name = ?", (work_pool_name,))
    if pool is None:
        raise NotFound(f'Work pool "{work_pool_name}" not found.')
    queue = table.read(tx, pool[1]) if name is None else table.read_in_pool(tx, pool[0], name)
    if queue is None:
        raise NotFound(f"Work pool queue '{work_pool_name}/{name}' not found.")
    return queue


def find_or_create(tx: Tx, work_pool_name: str, name: str | None, mint: Mint) -> WorkQueue:
    """`find`, making a queue that the pool does not have yet.

    Raises:
        NotFound: there is no such pool.
    """
    work_pool_id = pool_table.id_of(tx, work_pool_name)
    if name is not None and work_pool_id is not None:
        queue = table.read_in_pool(tx, work_pool_id, name)
        if queue is None:
            return create(tx, work_pool_id, work_pool_name, WorkQueueCreate(name=name), mint)
        return queue
    return find(tx, work_pool_name, name)


_EVENT_FIELDS = ("name", "description", "concurrency_limit", "priority")


def update(tx: Tx, queue: WorkQueue, body: WorkQueueUpdate, mint: Mint, settings: Settings) -> None:
    """Write the fields that are in the body to a queue that this transaction has read.

    Raises:
        Conflict: the new name is taken.
        IntegrityConflict: the name, the description or the priority is null.
    """
    given = {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    for name in ("name", "description", "priority"):
        if name in given and given[name] is None:
            raise IntegrityConflict(f"{name} of work queue {queue.id} is null")
    if given.get("name", queue.name) != queue.name:
        _require_free(tx, queue.work_pool_id, queue.work_pool_name, given["name"])
    changed = {name: _stored(value) for name, value in given.items()}
    polled = changed.get("last_polled", queue.last_polled)
    assert polled is None or isinstance(polled, str)
    status = work_status.queue_status(
        queue.status, given.get("is_paused"), polled, mint.now(), settings.work_queue_polled_s
    )
    changed |= {"status": status, "updated": mint.now()}
    table.update(tx, queue.id, changed)
    if "priority" in given:
        others = [each for each in table.priorities(tx, queue.work_pool_id) if each[0] != queue.id]
        _make_room(tx, others, queue.id, given["priority"])
    _publish_changes(tx, queue, given, mint)
    if status != queue.status:
        _publish_status(tx, queue.id, mint)


def _stored(value: Any) -> Value:
    if value is None or isinstance(value, (str, int)):
        return int(value) if isinstance(value, bool) else value
    return encode_text(value).decode() if isinstance(value, msgspec.Struct) else text(value)


def _publish_changes(tx: Tx, queue: WorkQueue, given: dict[str, Any], mint: Mint) -> None:
    updates = {
        name: {"from": getattr(queue, name), "to": given[name]}
        for name in _EVENT_FIELDS
        if name in given and given[name] != getattr(queue, name)
    }
    if updates:
        now_is = table.read(tx, queue.id)
        assert now_is is not None
        payload = {"updated_fields": list(updates), "updates": updates}
        work_events.queue_changed(tx, now_is, "updated", mint, payload)


def _publish_status(tx: Tx, id_: str, mint: Mint) -> None:
    queue = table.read(tx, id_)
    assert queue is not None
    work_events.queue_status_changed(tx, queue, queue.status, mint)
    if queue.status == "READY":
        tx.publish(Deadline("work_queue"))


def delete(tx: Tx, queue: WorkQueue, mint: Mint) -> None:
    """Delete a queue that this transaction has read; its runs and deployments go on without it.

    Raises:
        Conflict: it is the default queue of its pool.
    """
    pool = pool_table.read(tx, queue.work_pool_id)
    if pool is not None and pool.default_queue_id == queue.id:
        raise Conflict(f"The default queue of work pool '{pool.name}' cannot be deleted.")
    work_events.queue_changed(tx, queue, "deleted", mint)
    agent_queues.let_go(tx, queue)
    table.delete(tx, queue.id)


def mark_polled(tx: Tx, ids: Sequence[str], mint: Mint) -> None:
    """Note that these queues were asked for work: those that were not ready are, from now on."""
    now = mint.now()
    for id_ in ids:
        made_ready = tx.run(
            "UPDATE work_queue SET last_polled = ?, status = 'READY', updated = ?"
            " WHERE id = ? AND status = 'NOT_READY'",
            (now, now, id_),
        )
        if made_ready:
            _publish_status(tx, id_, mint)
        else:
            tx.run("UPDATE work_queue SET last_polled = ? WHERE id = ?", (now, id_))


def mark_unpolled(tx: Tx, id_: str, mint: Mint, settings: Settings) -> bool:
    """A queue that nobody has asked for work in time is not ready any more; whether it was."""
    row = tx.one("SELECT status, last_polled FROM work_queue WHERE id = ?", (id_,))
    if row is None or row[0] != "READY":
        return False
    if work_status.is_polled(row[1], mint.now(), settings.work_queue_polled_s):
        return False
    table.update(tx, id_, {"status": "NOT_READY", "updated": mint.now()})
    _publish_status(tx, id_, mint)
    return True


def _require_free(tx: Tx, work_pool_id: str, work_pool_name: str, name: str) -> None:
    taken = tx.one(
        "SELECT 1 FROM work_queue WHERE work_pool_id = ? AND name = ?", (work_pool_id, name)
    )
    if taken is not None:
        raise Conflict(
            f"A work queue with this name already exists in work pool '{work_pool_name}'."
        )


def _make_room(tx: Tx, others: Sequence[tuple[str, int]], id_: str, wanted: int) -> None:
    for queue_id, priority in work_priorities.moved(others, id_, wanted).items():
        table.update(tx, queue_id, {"priority": priority})
