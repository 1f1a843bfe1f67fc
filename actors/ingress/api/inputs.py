"""Inputs of flow runs. Source: `prefect.server.api.flow_runs`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.http import Response
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.errors import NotFound
from lictor.schema.tables import inputs
from lictor.schema.wire.inputs import FlowRunInput, InputCreate, InputSearch

LIMIT_DEFAULT = 1


async def create(call: Call[InputCreate]) -> None:
    """Leave an input for the run."""
    services = call.services
    await services.journal.write(
        partial(inputs.insert, flow_run_id=call.params[0], body=call.body, mint=services.mint)
    )


async def search(call: Call[InputSearch]) -> list[FlowRunInput]:
    """Inputs whose key begins with a prefix, oldest first."""
    body, services = call.body, call.services
    limit = LIMIT_DEFAULT if body.limit is None else body.limit
    most = services.settings.api_default_limit
    return await services.readers.read(
        partial(
            inputs.search,
            flow_run_id=call.params[0],
            prefix=body.prefix,
            limit=min(limit, most) if limit >= 0 else most,
            exclude_keys=body.exclude_keys or (),
        )
    )


async def read(call: Call[None]) -> Response:
    """The bare value of an input."""
    flow_run_id, key = call.params
    value = call.services.readers.inline(
        partial(inputs.read_value, flow_run_id=flow_run_id, key=key)
    )
    if value is None:
        raise NotFound("Flow run input not found")
    return Response(200, value.encode(), media_type=b"text/plain; charset=utf-8")


async def delete(call: Call[None]) -> None:
    """Delete an input."""
    flow_run_id, key = call.params
    if not await call.services.journal.write(
        partial(inputs.delete, flow_run_id=flow_run_id, key=key)
    ):
        raise NotFound("Flow run input not found")


OPERATIONS = (
    Operation(
        "POST",
        "/flow_runs/{id}/input",
        create,
        body=InputCreate,
        status=201,
        optional_body=True,
        summary="Leave an input for a flow run",
    ),
    Operation(
        "POST",
        "/flow_runs/{id}/input/filter",
        search,
        body=InputSearch,
        result=list[FlowRunInput],
        optional_body=True,
        summary="Find inputs of a flow run",
    ),
    Operation(
        "GET", "/flow_runs/{id}/input/{key:str}", read, summary="Read an input of a flow run"
    ),
    Operation(
        "DELETE",
        "/flow_runs/{id}/input/{key:str}",
        delete,
        status=204,
        summary="Delete an input of a flow run",
    ),
)
