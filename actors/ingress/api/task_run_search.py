"""Task runs: search, count, pages, history. Source: `prefect.server.api.task_runs`."""

from __future__ import annotations

from lictor.actors.ingress.api.paging import Paged, filters_of, limit_of, offset_of, paged
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.tables import history, search
from lictor.schema.times import parse
from lictor.schema.wire.filters import (
    RunFilters,
    TaskRunHistory,
    TaskRunPages,
    TaskRunSearch,
)
from lictor.schema.wire.history import HistoryInterval
from lictor.schema.wire.task_runs import TaskRun
from lictor.schema.wire.ui import listed


async def read_many(call: Call[TaskRunSearch]) -> Response:
    """The task runs that match, a page of them. Encoded where the rows were read."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "ID_DESC"
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)
    now = parse(services.mint.now())

    def query(tx: ReadTx) -> bytes:
        return encode(search.task_runs(tx, filters, sort, limit, offset, now))

    return Response(200, await services.readers.read(query))


async def paginate(call: Call[TaskRunPages]) -> Response:
    """The task runs that match, a page of them in the shorter form, and how many there are."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "ID_DESC"
    limit, page = limit_of(body.limit, services.settings), body.page or 1
    offset = offset_of((page - 1) * limit)
    now = parse(services.mint.now())

    def query(tx: ReadTx) -> bytes:
        runs = [listed(run) for run in search.task_runs(tx, filters, sort, limit, offset, now)]
        return encode(paged(runs, search.count_task_runs(tx, filters), limit, page))

    return Response(200, await services.readers.read(query))


async def count(call: Call[RunFilters]) -> int:
    """How many task runs match."""
    filters = filters_of(call.body)
    return await call.services.readers.read(lambda tx: search.count_task_runs(tx, filters))


async def read_history(call: Call[TaskRunHistory]) -> list[HistoryInterval]:
    """The task runs that match, by the interval they are expected in and their state."""
    body, services = call.body, call.services
    filters, now = filters_of(body), parse(services.mint.now())
    intervals = history.intervals(
        body.history_start, body.history_end, body.history_interval_seconds
    )
    if not intervals:
        return []
    return await services.readers.read(
        lambda tx: history.task_runs(tx, filters, intervals, now)
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/task_runs/filter", read_many, TaskRunSearch, list[TaskRun],
        optional_body=True, summary="Search task runs",
    ),
    Operation(
        "POST", "/task_runs/paginate", paginate, TaskRunPages, Paged,
        optional_body=True, summary="Search task runs by pages",
    ),
    Operation(
        "POST", "/task_runs/count", count, RunFilters, int,
        optional_body=True, summary="Count task runs",
    ),
    Operation(
        "POST", "/task_runs/history", read_history, TaskRunHistory, list[HistoryInterval],
        optional_body=True, summary="Task runs by interval and state",
    ),
)  # fmt: skip
