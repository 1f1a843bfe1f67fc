"""How workers, agents and runners ask for work.

A poll is a read. That it happened is written only when it changes something: when a queue or
deployment was not ready, or its last poll was noted a while ago. So a worker that asks every few
seconds costs a commit four times in the time after which silence counts.

Source: `prefect.server.api.{workers,work_queues,deployments}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from lictor.actors.ingress.api.paging import limit_of
from lictor.actors.ingress.http import Request
from lictor.actors.ingress.operations import Call, Operation
from lictor.actors.ingress.services import Services
from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.commands import deployment_status, work_pools, work_queues
from lictor.schema.errors import Missing, NotFound
from lictor.schema.tables import agent_queues
from lictor.schema.tables import polls as table
from lictor.schema.tables import work_pools as pool_table
from lictor.schema.tables.polls import Queue, Window
from lictor.schema.times import EARLIEST, Timestamp, parse, shift, text
from lictor.schema.wire.decode import parameter
from lictor.schema.wire.flow_runs import FlowRun
from lictor.schema.wire.polls import (
    DeploymentsPoll,
    PoolPoll,
    QueuePoll,
    WorkerFlowRun,
)

NOTES = 4
"""How often a poll is noted in the time after which silence counts."""


class _Found(NamedTuple):
    runs: list[FlowRun]
    polled: list[Queue]


async def of_pool(call: Call[PoolPoll]) -> list[WorkerFlowRun]:
    """Runs of a pool that are due, those of queues of lower priority numbers first."""
    body, services, name = call.body, call.services, call.params[0]
    await services.catch_up.settled()
    window = _window(services, body.limit, body.scheduled_before, body.scheduled_after)
    now = parse(services.mint.now())
    wanted = frozenset(body.work_queue_names or ())
    pool_ids: list[str] = []

    def query(tx: ReadTx) -> _Found:
        pool = work_pools.find(tx, name)
        pool_ids[:] = [pool.id]
        every = table.queues_of_pool(tx, pool.id, window)
        queues = [each for each in every if each.name in wanted] if wanted else every
        for missing in wanted.difference(each.name for each in queues):
            raise NotFound(f"Work queue '{missing}' not found in work pool '{name}'")
        if pool.is_paused:
            return _Found([], queues)
        limit = pool.concurrency_limit
        free = None if limit is None else limit - pool_table.active_slots(tx, pool.id)
        rows = table.choose(queues, free, window.limit)
        return _Found(table.read_rows(tx, rows, now, as_made=True), queues)

    found = await services.readers.read(query)
    await _note_queues(services, found.polled)
    _tell_of_pool(found.runs, UNSET)
    return [WorkerFlowRun(pool_ids[0], run.work_queue_id or "", run) for run in found.runs]


async def of_queue(call: Call[QueuePoll]) -> list[FlowRun]:
    """Runs of one queue that are due. The web pages look without counting as a poll."""
    body, services, id_ = call.body, call.services, call.params[0]
    await services.catch_up.settled()
    is_looking = _is_from_pages(call.request)
    window = _window(services, body.limit, body.scheduled_before)
    now = parse(services.mint.now())

    def query(tx: ReadTx) -> _Found:
        queue = agent_queues.read(tx, id_, window)
        if queue is None:
            raise Missing(f"Work queue with id {id_} not found")
        rows = table.choose([queue], None, window.limit)
        return _Found(table.read_rows(tx, rows, now, as_made=True), [queue])

    found = await services.readers.read(query)
    if not is_looking:
        await _note_queues(services, found.polled)
    # Prefect tells of the queue here, and never of its pool.
    _tell_of_pool(found.runs, None)
    return found.runs


def _is_from_pages(request: Request) -> bool:
    """Whether the web pages ask.

    Raises:
        InvalidRequest: the header that says so says neither yes nor no.
    """
    said = request.header(b"x-prefect-ui")
    return said is not None and parameter(("header", "x-prefect-ui"), bool, said.decode("latin-1"))


async def of_deployments(call: Call[DeploymentsPoll]) -> list[FlowRun]:
    """Runs of these deployments that are due; pauses and limits of queues do not count."""
    body, services = call.body, call.services
    await services.catch_up.settled()
    window = _window(services, body.limit, body.scheduled_before)
    now, ids = parse(services.mint.now()), [str(each) for each in body.deployment_ids]
    since = _noted_since(services, services.settings.deployment_polled_s)

    def query(tx: ReadTx) -> tuple[list[FlowRun], list[str]]:
        runs = table.of_deployments(tx, ids, window, now)
        return runs, table.stale_deployments(tx, ids, since, text(now))

    runs, stale = await services.readers.read(query)
    if stale:
        await services.journal.write(
            lambda tx: deployment_status.mark_polled(tx, stale, services.mint)
        )
    return runs


async def _note_queues(services: Services, queues: Sequence[Queue]) -> None:
    settings = services.settings
    least_s = min(settings.work_queue_polled_s, settings.deployment_polled_s)
    since, now = _noted_since(services, least_s), services.mint.now()
    stale = [
        each.id
        for each in queues
        if each.status == "NOT_READY" or not since <= (each.last_polled or "") <= now
    ]
    if not stale:
        return

    def job(tx: Tx) -> None:
        work_queues.mark_polled(tx, stale, services.mint)
        for id_ in stale:
            deployment_status.mark_queue_polled(tx, id_, services.mint)

    await services.journal.write(job)


def _noted_since(services: Services, silence_s: float) -> Timestamp:
    return shift(services.mint.now(), -silence_s / NOTES)


def _window(
    services: Services, limit: int | None, before: datetime | None, after: datetime | None = None
) -> Window:
    return Window(
        limit_of(limit, services.settings),
        table.LATEST if before is None else text(before),
        EARLIEST if after is None else text(after),
    )


def _tell_of_pool(runs: Sequence[FlowRun], told: UnsetType | None) -> None:
    for run in runs:
        run.work_pool_id = run.work_pool_name = told


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/work_pools/{name:str}/get_scheduled_flow_runs", of_pool, PoolPoll,
        list[WorkerFlowRun], optional_body=True, summary="Get runs of a work pool that are due",
    ),
    Operation(
        "POST", "/work_queues/{id}/get_runs", of_queue, QueuePoll, list[FlowRun],
        optional_body=True, summary="Get runs of a work queue that are due",
    ),
    Operation(
        "POST", "/deployments/get_scheduled_flow_runs", of_deployments, DeploymentsPoll,
        list[FlowRun], optional_body=True, summary="Get runs of deployments that are due",
    ),
)  # fmt: skip
