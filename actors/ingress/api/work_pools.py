"""Work pools and the queues in them. Source: `prefect.server.api.workers`."""

from __future__ import annotations

import re
from functools import partial

import msgspec
import trio
from msgspec import Raw, structs

from lictor.actors.ingress.api.flow_runs import client_version
from lictor.actors.ingress.api.paging import limit_of, offset_of
from lictor.actors.ingress.http import Request
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import work_pools, work_queues
from lictor.schema.rules import job_templates, json_schema
from lictor.schema.tables import work_pools as table
from lictor.schema.tables import work_queues as queue_table
from lictor.schema.times import parse
from lictor.schema.wire.work_pools import (
    QueueSlots,
    WorkPool,
    WorkPoolCount,
    WorkPoolCreate,
    WorkPoolSearch,
    WorkPoolSlots,
    WorkPoolSlotsQuery,
    WorkPoolUpdate,
)
from lictor.schema.wire.work_queues import (
    WorkQueue,
    WorkQueueCreate,
    WorkQueueSearch,
    WorkQueueUpdate,
)

LAST_WITHOUT_RESULT_STORAGE = (3, 3, 7)
"""Clients up to this version fail when they are told of a pool's result storage."""


async def create(call: Call[WorkPoolCreate]) -> WorkPool:
    """Create a pool with its default queue."""
    services, body = call.services, call.body
    if body.base_job_template:
        # Not in the transaction: every other write would wait for it.
        await trio.to_thread.run_sync(json_schema.load)
        job_templates.check_defaults(body.base_job_template)
    job = partial(work_pools.create, body=body, mint=services.mint, tells_status=True)
    return _for_client(call.request, await services.journal.write(job))


async def read(call: Call[None]) -> WorkPool:
    """One pool, by its name."""
    pool = call.services.readers.inline(partial(work_pools.find, name=call.params[0]))
    return _for_client(call.request, pool)


async def search(call: Call[WorkPoolSearch]) -> list[WorkPool]:
    """A page of the pools that match, by name."""
    body, services = call.body, call.services
    page = partial(
        table.read_page,
        criteria=body.work_pools,
        limit=limit_of(body.limit, services.settings),
        offset=offset_of(body.offset),
    )
    return [_for_client(call.request, pool) for pool in await services.readers.read(page)]


async def count(call: Call[WorkPoolCount]) -> int:
    """How many pools match."""
    query = partial(table.count, criteria=call.body.work_pools)
    return await call.services.readers.read(query)


async def update(call: Call[WorkPoolUpdate]) -> None:
    """Write the fields that are in the body."""
    services = call.services
    job = partial(work_pools.update, name=call.params[0], body=call.body, mint=services.mint)
    await services.journal.write(job)


async def delete(call: Call[None]) -> None:
    """Delete a pool with its queues and workers."""
    services = call.services
    job = partial(work_pools.delete, name=call.params[0], mint=services.mint)
    await services.journal.write(job)


async def read_slots(call: Call[WorkPoolSlotsQuery]) -> WorkPoolSlots:
    """A page of a pool's queues, each with the first of the runs that take its slots."""
    body, services = call.body, call.services
    name, now = call.params[0], parse(services.mint.now())
    limit, page = limit_of(body.limit, services.settings), body.page
    offset = offset_of((page - 1) * limit)

    def query(tx: ReadTx) -> WorkPoolSlots:
        pool = work_pools.find(tx, name)
        queues = [
            QueueSlots(
                queue.id,
                queue.name,
                (taken := queue_table.count_slot_holders(tx, queue.id)),
                queue.concurrency_limit,
                queue_table.slot_holders(tx, queue.id, body.flow_run_limit, now),
                taken,
            )
            for queue in queue_table.read_pool_page(tx, pool.id, None, limit, offset)
        ]
        total = queue_table.count_in_pool(tx, pool.id)
        pages = -(-total // limit) if limit else 0
        active = table.active_slots(tx, pool.id)
        return WorkPoolSlots(active, pool.concurrency_limit, queues, total, limit, pages, page)

    return await services.readers.read(query)


async def create_queue(call: Call[WorkQueueCreate]) -> WorkQueue:
    """Create a queue in a pool."""
    services = call.services
    job = partial(
        work_pools.create_queue, work_pool_name=call.params[0], body=call.body, mint=services.mint
    )
    return await services.journal.write(job)


async def read_queue(call: Call[None]) -> WorkQueue:
    """One queue of a pool, by its name."""
    pool, name = call.params
    return call.services.readers.inline(lambda tx: work_queues.find(tx, pool, name))


async def search_queues(call: Call[WorkQueueSearch]) -> list[WorkQueue]:
    """A page of the queues of a pool that match, by priority."""
    body, services, name = call.body, call.services, call.params[0]
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)

    def query(tx: ReadTx) -> list[WorkQueue]:
        pool_id = table.id_of(tx, name)
        if pool_id is None:
            raise work_pools.not_found(name)
        return queue_table.read_pool_page(tx, pool_id, body.work_queues, limit, offset)

    return await services.readers.read(query)


async def update_queue(call: Call[WorkQueueUpdate]) -> None:
    """Write the fields that are in the body; other queues may move back."""
    services = call.services
    pool, name = call.params

    def job(tx: Tx) -> None:
        queue = work_queues.find(tx, pool, name)
        work_queues.update(tx, queue, call.body, services.mint, services.settings)

    await services.journal.write(job)


async def delete_queue(call: Call[None]) -> None:
    """Delete a queue that is not its pool's default."""
    services = call.services
    pool, name = call.params

    def job(tx: Tx) -> None:
        work_queues.delete(tx, work_queues.find(tx, pool, name), services.mint)

    await services.journal.write(job)


def _for_client(request: Request, pool: WorkPool) -> WorkPool:
    """The pool as the client that asks can read it."""
    version = client_version(request)
    if version is None or not _is_old(version):
        return pool
    storage = msgspec.json.decode(pool.storage_configuration)
    del storage["default_result_storage_block_id"]
    return structs.replace(pool, storage_configuration=Raw(msgspec.json.encode(storage)))


_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(.*)")
_BEFORE_RELEASE = re.compile(r"\.?(a|b|c|rc|alpha|beta|dev)")


def _is_old(version: str) -> bool:
    """Whether a version is 3.3.7, one on the way to it, or an earlier one."""
    match = _VERSION.fullmatch(version)
    assert match is not None
    *numbers, rest = match.groups()
    release = tuple(map(int, numbers))
    if release != LAST_WITHOUT_RESULT_STORAGE:
        return release < LAST_WITHOUT_RESULT_STORAGE
    return not rest or _BEFORE_RELEASE.match(rest) is not None


_ONE = "/work_pools/{name:str}"
_QUEUES = f"{_ONE}/queues"
_QUEUE = f"{_QUEUES}/{{queue:str}}"

OPERATIONS = (
    Operation("POST", "/work_pools/", create, WorkPoolCreate, WorkPool, status=201),
    Operation("GET", _ONE, read, result=WorkPool),
    Operation(
        "POST", "/work_pools/filter", search, WorkPoolSearch, list[WorkPool], optional_body=True
    ),
    Operation("POST", "/work_pools/count", count, WorkPoolCount, int, optional_body=True),
    Operation("PATCH", _ONE, update, WorkPoolUpdate, status=204),
    Operation("DELETE", _ONE, delete, status=204),
    Operation(
        "POST", f"{_ONE}/concurrency_status", read_slots, WorkPoolSlotsQuery, WorkPoolSlots,
        optional_body=True,
    ),
    Operation("POST", _QUEUES, create_queue, WorkQueueCreate, WorkQueue, status=201),
    Operation("GET", _QUEUE, read_queue, result=WorkQueue),
    Operation(
        "POST", f"{_QUEUES}/filter", search_queues, WorkQueueSearch, list[WorkQueue],
        optional_body=True,
    ),
    Operation("PATCH", _QUEUE, update_queue, WorkQueueUpdate, status=204),
    Operation("DELETE", _QUEUE, delete_queue, status=204),
)  # fmt: skip
