"""The workers of a pool. Source: `prefect.server.api.workers`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.api.paging import limit_of, offset_of
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.commands import work_pools, workers
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.tables import workers as table
from lictor.schema.wire.workers import Heartbeat, Worker, WorkerSearch


async def heartbeat(call: Call[Heartbeat]) -> None:
    """Note that a worker is there; an unknown one is registered."""
    services = call.services
    job = partial(
        workers.beat,
        work_pool_name=call.params[0],
        body=call.body,
        mint=services.mint,
        settings=services.settings,
    )
    await services.journal.write(job)


async def search(call: Call[WorkerSearch]) -> list[Worker]:
    """A page of the workers of a pool that match, the newest heartbeat first."""
    body, services, name = call.body, call.services, call.params[0]
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)
    now = services.mint.now()

    def query(tx: ReadTx) -> list[Worker]:
        pool_id = pool_table.id_of(tx, name)
        if pool_id is None:
            raise work_pools.not_found(name)
        return table.read_page(tx, pool_id, body.workers, limit, offset, now)

    return await services.readers.read(query)


async def delete(call: Call[None]) -> None:
    """Forget a worker; its next heartbeat registers it again."""
    services = call.services
    pool, name = call.params
    await services.journal.write(lambda tx: workers.delete(tx, pool, name, services.mint))


_PATH = "/work_pools/{pool:str}/workers"

OPERATIONS = (
    Operation(
        "POST", f"{_PATH}/heartbeat", heartbeat, Heartbeat, status=204, optional_body=True
    ),
    Operation("POST", f"{_PATH}/filter", search, WorkerSearch, list[Worker], optional_body=True),
    Operation("DELETE", f"{_PATH}/{{name:str}}", delete, status=204),
)  # fmt: skip
