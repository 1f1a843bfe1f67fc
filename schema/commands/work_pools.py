"""What requests do to work pools: make, find, change, delete; and when a pool is ready.

Source: `prefect.server.models.workers`, `prefect.server.api.workers`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, structs

from lictor.schema.backends.tx import ReadTx, Tx, Value
from lictor.schema.commands import work_events, work_queues
from lictor.schema.errors import Conflict, Forbidden, IntegrityConflict, NotFound
from lictor.schema.mint import Mint
from lictor.schema.rules.work_status import AGENT, AGENT_POOL, pool_status
from lictor.schema.tables import agent_queues
from lictor.schema.tables import work_pools as table
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.tables import workers as worker_table
from lictor.schema.tables.runs import encode_text
from lictor.schema.wire.work_pools import WorkPool, WorkPoolCreate, WorkPoolUpdate
from lictor.schema.wire.work_queues import WorkQueue, WorkQueueCreate

RESERVED = "prefect"
"""Names that begin so, in any case, are Prefect's own."""
DEFAULT_QUEUE = "default"


class PoolChanged(msgspec.Struct, frozen=True):
    """Published when a pool has changed in a way that its workers act upon, or has gone."""

    work_pool_id: str


def is_reserved(name: str) -> bool:
    """Whether a pool of this name is not for users to make."""
    return name.lower().startswith(RESERVED)


def create(tx: Tx, body: WorkPoolCreate, mint: Mint, *, tells_status: bool = False) -> WorkPool:
    """A new pool with its default queue. `tells_status`: whether its first status is an event.

    Raises:
        Forbidden: the name is reserved.
        Conflict: the name is taken.
    """
    if is_reserved(body.name):
        raise Forbidden("Work pools starting with 'Prefect' are reserved for internal use.")
    if table.id_of(tx, body.name) is not None:
        raise Conflict("A work pool with this name already exists.")
    now = mint.now()
    status = pool_status(body.type, body.is_paused, has_online_worker=False)
    pool = WorkPool(
        id=mint.id(),
        created=now,
        updated=now,
        name=body.name,
        description=body.description,
        type=body.type,
        base_job_template=Raw(encode_text(body.base_job_template)),
        is_paused=body.is_paused,
        concurrency_limit=body.concurrency_limit,
        status=None if body.type == AGENT else status,
        default_queue_id=mint.id(),
        storage_configuration=Raw(encode_text(body.storage_configuration)),
        active_slots=None if body.concurrency_limit is None else 0,
    )
    table.insert(tx, pool, status)
    queue = WorkQueueCreate(name=DEFAULT_QUEUE, description="The work pool's default queue.")
    work_queues.insert(tx, pool.default_queue_id, pool.id, pool.name, queue, mint)
    work_events.pool_changed(tx, pool, "created", mint)
    if tells_status:
        work_events.pool_status_changed(tx, pool, status, mint, is_new=True)
    return pool


def find(tx: ReadTx, name: str) -> WorkPool:
    """The pool whose name is `name`.

    Raises:
        NotFound: there is none.
    """
    pool = table.read_by_name(tx, name)
    if pool is None:
        raise not_found(name)
    return pool


def not_found(name: str) -> NotFound:
    """The answer to whoever asks for a pool that does not exist."""
    return NotFound(f'Work pool "{name}" not found.')


_EVENT_FIELDS = ("description", "base_job_template", "concurrency_limit", "storage_configuration")
_FREE_FIELDS = {"is_paused", "concurrency_limit"}
"""What may be changed of a reserved pool."""
_WORKERS_FIELDS = {"is_paused", "base_job_template", "concurrency_limit", "storage_configuration"}
"""What workers act upon."""


def update(tx: Tx, name: str, body: WorkPoolUpdate, mint: Mint) -> WorkPool:
    """Write the fields that are in the body; the pool as it was before.

    Raises:
        Forbidden: the pool is reserved, and more than its pause or limit is to change.
        NotFound: there is no such pool.
        IntegrityConflict: a field that must be something is null.
    """
    given = {key: value for key, value in structs.asdict(body).items() if value is not UNSET}
    if is_reserved(name) and given.keys() - _FREE_FIELDS:
        raise Forbidden(
            "Work pools starting with 'Prefect' are reserved for internal use and can only be"
            " updated to set concurrency limits or pause."
        )
    pool = find(tx, name)
    for field in ("is_paused", "base_job_template", "storage_configuration"):
        if field in given and given[field] is None:
            raise IntegrityConflict(f"{field} of work pool {pool.id} is null")
    changed = {field: _stored(value) for field, value in given.items()}
    table.update(tx, pool.id, {**changed, "updated": mint.now()})
    settle_status(tx, pool.id, mint)
    _publish_changes(tx, pool, [field for field in _EVENT_FIELDS if field in given], mint)
    if given.keys() & _WORKERS_FIELDS:
        tx.publish(PoolChanged(pool.id))
    return pool


def _stored(value: Any) -> Value:
    if value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, int) else encode_text(value).decode()


def _publish_changes(tx: Tx, before: WorkPool, fields: list[str], mint: Mint) -> None:
    after = table.read(tx, before.id)
    assert after is not None
    updates = {
        field: {"from": getattr(before, field), "to": getattr(after, field)}
        for field in fields
        if getattr(before, field) != getattr(after, field)
    }
    if updates:
        payload = {"updated_fields": list(updates), "updates": updates}
        work_events.pool_changed(tx, after, "updated", mint, payload)


def settle_status(tx: Tx, id_: str, mint: Mint) -> bool:
    """Bring the status of a pool up to date with its pause and its workers; whether it changed."""
    row = tx.one("SELECT type, is_paused, status FROM work_pool WHERE id = ?", (id_,))
    if row is None:
        return False
    type_, is_paused, before = row
    status = pool_status(type_, is_paused == 1, worker_table.is_any_online(tx, id_))
    if status == (before or "NOT_READY"):
        return False
    table.update(tx, id_, {"status": status, "updated": mint.now()})
    pool = table.read(tx, id_)
    assert pool is not None
    work_events.pool_status_changed(tx, pool, status, mint)
    return True


def delete(tx: Tx, name: str, mint: Mint) -> None:
    """Delete a pool with its queues and workers; runs and deployments go on without them.

    Raises:
        Forbidden: the pool is reserved.
        NotFound: there is no such pool.
    """
    if is_reserved(name):
        raise Forbidden(
            "Work pools starting with 'Prefect' are reserved for internal use and can not be"
            " deleted."
        )
    pool = find(tx, name)
    for queue_id, _ in queue_table.priorities(tx, pool.id):
        queue = queue_table.read(tx, queue_id)
        assert queue is not None
        work_events.queue_changed(tx, queue, "deleted", mint)
        agent_queues.let_go(tx, queue)
    work_events.pool_changed(tx, pool, "deleted", mint)
    table.delete(tx, pool.id)
    tx.publish(PoolChanged(pool.id))


def create_queue(tx: Tx, work_pool_name: str, body: WorkQueueCreate, mint: Mint) -> WorkQueue:
    """A new queue of the pool called `work_pool_name`.

    Raises:
        NotFound: there is no such pool.
        Conflict: it has a queue of this name.
    """
    work_pool_id = table.id_of(tx, work_pool_name)
    if work_pool_id is None:
        raise not_found(work_pool_name)
    return work_queues.create(tx, work_pool_id, work_pool_name, body, mint)


def create_queue_without_pool(tx: Tx, body: WorkQueueCreate, mint: Mint) -> WorkQueue:
    """A new queue of the agents' pool, which is made for the first one.

    Raises:
        Conflict: the pool has a queue of this name.
    """
    work_pool_id = table.id_of(tx, AGENT_POOL)
    if work_pool_id is None:
        pool = create(tx, WorkPoolCreate(name=AGENT_POOL), mint)
        if body.name == DEFAULT_QUEUE:
            made = queue_table.read(tx, pool.default_queue_id, "alone")
            assert made is not None
            return made
        work_pool_id = pool.id
    return work_queues.create(tx, work_pool_id, AGENT_POOL, body, mint)


def find_queue_without_pool(tx: ReadTx, name: str) -> WorkQueue | None:
    """The queue called `name` of the agents' pool, or of any pool while that does not exist."""
    work_pool_id = table.id_of(tx, AGENT_POOL)
    if work_pool_id is None:
        return queue_table.read_anywhere(tx, name)
    return queue_table.read_in_pool(tx, work_pool_id, name, "alone")
