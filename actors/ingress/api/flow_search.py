"""Flows: search, count, pages. Source: `prefect.server.api.flows`."""

from __future__ import annotations

from lictor.actors.ingress.api.paging import Paged, filters_of, limit_of, offset_of, paged
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.tables import search
from lictor.schema.wire.filters import FlowFilters, FlowPages, FlowSearch
from lictor.schema.wire.flows import Flow


async def read_many(call: Call[FlowSearch]) -> Response:
    """The flows that match, a page of them. Encoded where the rows were read."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "NAME_ASC"
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)

    def query(tx: ReadTx) -> bytes:
        return encode(search.flows(tx, filters, sort, limit, offset))

    return Response(200, await services.readers.read(query))


async def paginate(call: Call[FlowPages]) -> Response:
    """The flows that match, a page of them, and how many there are."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "NAME_ASC"
    limit, page = limit_of(body.limit, services.settings), body.page or 1
    offset = offset_of((page - 1) * limit)

    def query(tx: ReadTx) -> bytes:
        flows = search.flows(tx, filters, sort, limit, offset)
        return encode(paged(flows, search.count_flows(tx, filters), limit, page))

    return Response(200, await services.readers.read(query))


async def count(call: Call[FlowFilters]) -> int:
    """How many flows match."""
    filters = filters_of(call.body)
    return await call.services.readers.read(lambda tx: search.count_flows(tx, filters))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/flows/filter", read_many, FlowSearch, list[Flow],
        optional_body=True, summary="Search flows",
    ),
    Operation(
        "POST", "/flows/paginate", paginate, FlowPages, Paged,
        optional_body=True, summary="Search flows by pages",
    ),
    Operation(
        "POST", "/flows/count", count, FlowFilters, int,
        optional_body=True, summary="Count flows",
    ),
)  # fmt: skip
