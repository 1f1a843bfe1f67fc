"""Flow runs: search, count, pages, history, lateness.

Source: `prefect.server.api.flow_runs`.
"""

from __future__ import annotations

from lictor.actors.ingress.api.paging import Paged, filters_of, limit_of, offset_of, paged
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.tables import history, search
from lictor.schema.times import parse
from lictor.schema.wire.filters import (
    FlowRunFilters,
    FlowRunHistory,
    FlowRunPages,
    FlowRunSearch,
)
from lictor.schema.wire.flow_runs import FlowRun
from lictor.schema.wire.history import HistoryInterval


async def read_many(call: Call[FlowRunSearch]) -> Response:
    """The runs that match, a page of them. Encoded where the rows were read."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "ID_DESC"
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)
    now = parse(services.mint.now())

    def query(tx: ReadTx) -> bytes:
        return encode(search.flow_runs(tx, filters, sort, limit, offset, now))

    return Response(200, await services.readers.read(query))


async def paginate(call: Call[FlowRunPages]) -> Response:
    """The runs that match, a page of them, and how many there are."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "ID_DESC"
    limit, page = limit_of(body.limit, services.settings), body.page or 1
    offset = offset_of((page - 1) * limit)
    now = parse(services.mint.now())

    def query(tx: ReadTx) -> bytes:
        runs = search.flow_runs(tx, filters, sort, limit, offset, now)
        return encode(paged(runs, search.count_flow_runs(tx, filters), limit, page))

    return Response(200, await services.readers.read(query))


async def count(call: Call[FlowRunFilters]) -> int:
    """How many runs match."""
    filters = filters_of(call.body)
    return await call.services.readers.read(lambda tx: search.count_flow_runs(tx, filters))


async def read_history(call: Call[FlowRunHistory]) -> list[HistoryInterval]:
    """The runs that match, by the interval they are expected in and their state."""
    body, services = call.body, call.services
    filters, now = filters_of(body), parse(services.mint.now())
    intervals = history.intervals(
        body.history_start, body.history_end, body.history_interval_seconds
    )
    if not intervals:
        return []
    return await services.readers.read(
        lambda tx: history.flow_runs(tx, filters, intervals, now)
    )


async def lateness(call: Call[FlowRunFilters]) -> float | None:
    """Seconds the runs that match are late on average; None when none does."""
    filters, now = filters_of(call.body), parse(call.services.mint.now())
    return await call.services.readers.read(
        lambda tx: history.average_lateness(tx, filters, now)
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/flow_runs/filter", read_many, FlowRunSearch, list[FlowRun],
        optional_body=True, summary="Search flow runs",
    ),
    Operation(
        "POST", "/flow_runs/paginate", paginate, FlowRunPages, Paged,
        optional_body=True, summary="Search flow runs by pages",
    ),
    Operation(
        "POST", "/flow_runs/count", count, FlowRunFilters, int,
        optional_body=True, summary="Count flow runs",
    ),
    Operation(
        "POST", "/flow_runs/history", read_history, FlowRunHistory, list[HistoryInterval],
        optional_body=True, summary="Flow runs by interval and state",
    ),
    Operation(
        "POST", "/flow_runs/lateness", lateness, FlowRunFilters, float | None,
        optional_body=True, summary="Average lateness of flow runs",
    ),
)  # fmt: skip
