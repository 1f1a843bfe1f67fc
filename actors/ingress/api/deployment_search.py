"""Deployments: search, count, pages. Source: `prefect.server.api.deployments`."""

from __future__ import annotations

from lictor.actors.ingress.api.paging import Paged, filters_of, limit_of, offset_of, paged
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.backends.tx import ReadTx
from lictor.schema.tables import deployments as table
from lictor.schema.wire.deployments import Deployment
from lictor.schema.wire.filters import DeploymentFilters, DeploymentPages, DeploymentSearch


async def read_many(call: Call[DeploymentSearch]) -> Response:
    """The deployments that match, a page of them. Encoded where the rows were read."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "NAME_ASC"
    limit, offset = limit_of(body.limit, services.settings), offset_of(body.offset)
    now = services.mint.now()

    def query(tx: ReadTx) -> bytes:
        return encode(table.read_many(tx, filters, sort, limit, offset, now))

    return Response(200, await services.readers.read(query))


async def paginate(call: Call[DeploymentPages]) -> Response:
    """The deployments that match, a page of them, and how many there are."""
    body, services = call.body, call.services
    filters, sort = filters_of(body), body.sort or "NAME_ASC"
    limit, page = limit_of(body.limit, services.settings), body.page or 1
    offset = offset_of((page - 1) * limit)
    now = services.mint.now()

    def query(tx: ReadTx) -> bytes:
        found = table.read_many(tx, filters, sort, limit, offset, now)
        return encode(paged(found, table.count(tx, filters), limit, page))

    return Response(200, await services.readers.read(query))


async def count(call: Call[DeploymentFilters]) -> int:
    """How many deployments match."""
    filters = filters_of(call.body)
    return await call.services.readers.read(lambda tx: table.count(tx, filters))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/deployments/filter", read_many, DeploymentSearch, list[Deployment],
        optional_body=True, summary="Search deployments",
    ),
    Operation(
        "POST", "/deployments/paginate", paginate, DeploymentPages, Paged,
        optional_body=True, summary="Search deployments by pages",
    ),
    Operation(
        "POST", "/deployments/count", count, DeploymentFilters, int,
        optional_body=True, summary="Count deployments",
    ),
)  # fmt: skip
