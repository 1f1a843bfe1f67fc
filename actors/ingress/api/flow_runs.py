"""Flow runs: create, read, change, delete, set state.

Source: `prefect.server.api.flow_runs`. Searches are in `flow_run_search.py`, graphs in `graph.py`.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import partial
from uuid import UUID

from lictor.actors.ingress.http import Request, Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import flow_run_changes, flow_runs
from lictor.schema.errors import NotFound
from lictor.schema.tables import flow_runs as table
from lictor.schema.times import parse
from lictor.schema.wire.decode import parameter
from lictor.schema.wire.flow_runs import (
    FlowRun,
    FlowRunCreate,
    FlowRunUpdate,
    Labels,
    OrchestrationResult,
)
from lictor.schema.wire.states import SetState


async def create(call: Call[FlowRunCreate]) -> Response:
    """Create a run with its first state; with a known idempotency key, answer the earlier run."""
    services = call.services
    job = partial(
        flow_runs.create,
        body=call.body,
        created_by=created_by(call.request),
        mint=services.mint,
        settings=services.settings,
    )
    run, is_new = await services.orchestrator.command(job)
    return Response(201 if is_new else 200, encode(run))


async def read(call: Call[None]) -> FlowRun:
    """One run with its state."""
    services = call.services
    id_ = call.params[0]
    now = parse(services.mint.now())
    run = services.readers.inline(lambda tx: table.read(tx, id_, now))
    if run is None:
        raise NotFound("Flow run not found")
    return run


async def update(call: Call[FlowRunUpdate]) -> None:
    """Write the fields that are in the body."""
    services = call.services
    job = partial(
        flow_run_changes.update,
        id_=call.params[0],
        body=call.body,
        mint=services.mint,
        settings=services.settings,
    )
    await services.orchestrator.command(job)


async def update_labels(call: Call[Labels]) -> None:
    """Merge labels into those of the run."""
    job = partial(
        flow_run_changes.merge_labels, id_=call.params[0], labels=call.body, mint=call.services.mint
    )
    await call.services.orchestrator.command(job)


async def delete(call: Call[None]) -> None:
    """Delete the run, its task runs, states, inputs and logs."""
    id_ = call.params[0]
    if not await call.services.orchestrator.command(lambda tx: flow_runs.delete(tx, id_)):
        raise NotFound("Flow run not found")


async def set_state(call: Call[SetState]) -> Response:
    """Propose a state: 201 with a new state, 200 when nothing was written."""
    services = call.services
    job = partial(
        flow_runs.set_state,
        id_=call.params[0],
        body=call.body,
        mint=services.mint,
        settings=services.settings,
        client_version=client_version(call.request),
    )
    result, is_new = await services.orchestrator.command(job)
    return Response(201 if is_new else 200, encode(result))


def client_version(request: Request) -> str | None:
    """The version of the Prefect client that sent the request; None if it is no such client.

    Source: `prefect.server.api.dependencies.get_prefect_client_version`.
    """
    agent = request.header(b"user-agent")
    match = None if agent is None else _CLIENT.fullmatch(agent)
    return None if match is None else match[1].decode("ascii")


_CLIENT = re.compile(rb"prefect/(\d+\.\d+\.\d+[a-z.+0-9]*) \(API \S+\)")


def created_by(request: Request) -> str | None:
    """Who made the run, as JSON text, from the headers an automation's action sends.

    Source: `prefect.server.api.dependencies.get_created_by`; both headers are needed.

    Raises:
        InvalidRequest: the id is not one.
    """
    id_ = request.header(b"prefect-automation-id")
    if id_ is None:
        return None
    creator = str(parameter(("header", "prefect-automation-id"), UUID, id_.decode("latin-1")))
    name = request.header(b"prefect-automation-name")
    try:
        display_value = base64.b64decode(name or b"").decode("utf-8")
    except (ValueError, binascii.Error):
        return None
    if not display_value:
        return None
    return encode({"id": creator, "type": "AUTOMATION", "display_value": display_value}).decode()


OPERATIONS = (
    Operation("POST", "/flow_runs/", create, body=FlowRunCreate, result=FlowRun, status=201),
    Operation("GET", "/flow_runs/{id}", read, result=FlowRun),
    Operation("PATCH", "/flow_runs/{id}", update, body=FlowRunUpdate, status=204),
    Operation("DELETE", "/flow_runs/{id}", delete, status=204),
    Operation("PATCH", "/flow_runs/{id}/labels", update_labels, body=Labels, status=204),
    Operation(
        "POST",
        "/flow_runs/{id}/set_state",
        set_state,
        body=SetState,
        result=OrchestrationResult,
        optional_body=True,
    ),
)
