"""Flows: create, read, change, delete. Source: `prefect.server.api.flows`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.api.paging import filters_of
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.actors.ingress.services import Services
from lictor.schema.commands import flows
from lictor.schema.errors import NotFound
from lictor.schema.tables import flows as table
from lictor.schema.wire.flows import (
    Flow,
    FlowBulkDelete,
    FlowCreate,
    FlowsDeleted,
    FlowUpdate,
)

BULK_LIMIT = 50


async def create(call: Call[FlowCreate]) -> Response:
    """Create a flow; a known name answers the flow it has, unchanged.

    Every run of every client begins with this call, so a known name costs no transaction.
    """
    services, body = call.services, call.body
    flow = services.readers.inline(partial(table.read_by_name, name=body.name))
    if flow is not None:
        return Response(200, encode(flow))
    flow, is_new = await services.journal.write(
        partial(flows.create, body=body, mint=services.mint)
    )
    return Response(201 if is_new else 200, encode(flow))


async def read(call: Call[None]) -> Flow:
    """One flow."""
    return _found(call.services.readers.inline(partial(table.read, id_=call.params[0])))


async def read_by_name(call: Call[None]) -> Flow:
    """One flow, by its name."""
    return _found(call.services.readers.inline(partial(table.read_by_name, name=call.params[0])))


def _found(flow: Flow | None) -> Flow:
    if flow is None:
        raise NotFound("Flow not found")
    return flow


async def update(call: Call[FlowUpdate]) -> None:
    """Write the fields that are in the body."""
    services = call.services
    await services.journal.write(
        partial(flows.update, id_=call.params[0], body=call.body, mint=services.mint)
    )


async def delete(call: Call[None]) -> None:
    """Delete a flow with its deployments and runs."""
    if not await _delete(call.services, call.params[0]):
        raise NotFound("Flow not found")


async def delete_many(call: Call[FlowBulkDelete]) -> FlowsDeleted:
    """Delete the flows that match, a few at a time."""
    services, body = call.services, call.body
    limit = BULK_LIMIT if body.limit is None else body.limit
    ids = await services.readers.read(
        partial(table.matching_ids, filters=filters_of(body), limit=limit)
    )
    return FlowsDeleted([id_ for id_ in ids if await _delete(services, id_)])


async def _delete(services: Services, id_: str) -> bool:
    """Delete one flow, in as many transactions as it takes; False if there is none."""
    job = partial(flows.delete, id_=id_, mint=services.mint)
    while (outcome := await services.journal.write(job)) == "unfinished":
        pass
    return outcome == "deleted"


OPERATIONS = (
    Operation("POST", "/flows/", create, body=FlowCreate, result=Flow, summary="Create a flow"),
    Operation("GET", "/flows/{id}", read, result=Flow, summary="Read a flow"),
    Operation(
        "GET", "/flows/name/{name:str}", read_by_name, result=Flow, summary="Read a flow by name"
    ),
    Operation("PATCH", "/flows/{id}", update, body=FlowUpdate, status=204, summary="Update a flow"),
    Operation("DELETE", "/flows/{id}", delete, status=204, summary="Delete a flow"),
    Operation(
        "POST",
        "/flows/bulk_delete",
        delete_many,
        body=FlowBulkDelete,
        result=FlowsDeleted,
        optional_body=True,
        summary="Delete flows that match",
    ),
)
