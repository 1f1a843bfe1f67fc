"""Work queues asked for without their pool. Source: `prefect.server.api.work_queues`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.api.paging import limit_of, offset_of
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import work_pools, work_queues
from lictor.schema.errors import Missing, NotFound
from lictor.schema.rules.work_status import is_polled
from lictor.schema.tables import agent_queues
from lictor.schema.tables import work_queues as table
from lictor.schema.times import parse
from lictor.schema.wire.work_queues import (
    HealthPolicy,
    WorkQueue,
    WorkQueueCreate,
    WorkQueueHealth,
    WorkQueueSearch,
    WorkQueueSlots,
    WorkQueueSlotsQuery,
    WorkQueueUpdate,
)

POLLED_S = 60
"""A queue is healthy only if it was asked for work this recently."""


async def create(call: Call[WorkQueueCreate]) -> WorkQueue:
    """Create a queue in the agents' pool."""
    services = call.services
    job = partial(work_pools.create_queue_without_pool, body=call.body, mint=services.mint)
    return await services.journal.write(job)


async def read(call: Call[None]) -> WorkQueue:
    """One queue, by its id."""
    id_ = call.params[0]
    return await call.services.readers.read(
        lambda tx: agent_queues.with_slots(tx, _found(tx, id_))
    )


async def read_by_name(call: Call[None]) -> WorkQueue:
    """One queue of the agents' pool, by its name."""
    name = call.params[0]

    def query(tx: ReadTx) -> WorkQueue:
        queue = work_pools.find_queue_without_pool(tx, name)
        if queue is None:
            raise NotFound("work queue not found")
        return agent_queues.with_slots(tx, queue)

    return await call.services.readers.read(query)


async def search(call: Call[WorkQueueSearch]) -> list[WorkQueue]:
    """A page of the queues of all pools that match, by name."""
    body, services = call.body, call.services
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)

    def query(tx: ReadTx) -> list[WorkQueue]:
        page = table.read_page(tx, body.work_queues, limit, offset)
        return [agent_queues.with_slots(tx, queue) for queue in page]

    return await services.readers.read(query)


async def update(call: Call[WorkQueueUpdate]) -> None:
    """Write the fields that are in the body; other queues of the pool may move back."""
    services, id_ = call.services, call.params[0]

    def job(tx: Tx) -> None:
        work_queues.update(tx, _found(tx, id_), call.body, services.mint, services.settings)

    await services.journal.write(job)


async def delete(call: Call[None]) -> None:
    """Delete a queue that is not its pool's default."""
    services, id_ = call.services, call.params[0]
    await services.journal.write(lambda tx: work_queues.delete(tx, _found(tx, id_), services.mint))


async def read_health(call: Call[None]) -> WorkQueueHealth:
    """Whether the queue is asked for work, and no run of it is late."""
    services, id_ = call.services, call.params[0]
    now = services.mint.now()

    def query(tx: ReadTx) -> WorkQueueHealth:
        queue = table.read(tx, id_)
        if queue is None:
            raise Missing(f"Work queue with id {id_} not found")
        late = table.late_runs(tx, id_)
        healthy = late == 0 and is_polled(queue.last_polled, now, POLLED_S)
        return WorkQueueHealth(healthy, late, queue.last_polled, HealthPolicy(0, POLLED_S))

    return await services.readers.read(query)


async def read_slots(call: Call[WorkQueueSlotsQuery]) -> WorkQueueSlots:
    """A page of the runs that take slots of the queue."""
    body, services, id_ = call.body, call.services, call.params[0]
    limit, page = limit_of(body.limit, services.settings), body.page
    offset, now = offset_of((page - 1) * limit), parse(services.mint.now())

    def query(tx: ReadTx) -> WorkQueueSlots:
        queue = _found(tx, id_)
        taken = agent_queues.count_slot_holders(tx, queue)
        holders = agent_queues.slot_holders(tx, queue, limit, offset, now)
        pages = -(-taken // limit) if limit else 0
        return WorkQueueSlots(taken, queue.concurrency_limit, holders, taken, limit, pages, page)

    return await services.readers.read(query)


def _found(tx: ReadTx, id_: str) -> WorkQueue:
    queue = table.read(tx, id_, "alone")
    if queue is None:
        raise NotFound("work queue not found")
    return queue


_ONE = "/work_queues/{id}"

OPERATIONS = (
    Operation("POST", "/work_queues/", create, WorkQueueCreate, WorkQueue, status=201),
    Operation("GET", _ONE, read, result=WorkQueue),
    Operation("GET", "/work_queues/name/{name:str}", read_by_name, result=WorkQueue),
    Operation(
        "POST", "/work_queues/filter", search, WorkQueueSearch, list[WorkQueue],
        optional_body=True,
    ),
    Operation("PATCH", _ONE, update, WorkQueueUpdate, status=204),
    Operation("DELETE", _ONE, delete, status=204),
    Operation("GET", f"{_ONE}/status", read_health, result=WorkQueueHealth),
    Operation(
        "POST", f"{_ONE}/concurrency_status", read_slots, WorkQueueSlotsQuery, WorkQueueSlots,
        optional_body=True,
    ),
)  # fmt: skip
