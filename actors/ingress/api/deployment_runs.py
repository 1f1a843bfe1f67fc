"""Runs of deployments, made on request. Source: `prefect.server.api.deployments`."""

from __future__ import annotations

from functools import partial

import trio

from lictor.actors.ingress.api.flow_runs import created_by
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import deployment_runs as command
from lictor.schema.errors import BadRequest, NotFound
from lictor.schema.rules import json_schema
from lictor.schema.rules.hydration import no_variables
from lictor.schema.wire.deployments import (
    DeploymentFlowRunCreate,
    FlowRunCreateResult,
    FlowRunCreateResults,
)
from lictor.schema.wire.flow_runs import FlowRun

RUNS_MAX = 100
"""Runs of one bulk request."""
RUNS_IN_JOB = 25
"""Some milliseconds of the writer's thread, for which others wait."""


async def load_json_schema() -> None:
    """Load what checks parameters before a transaction needs it: every other write would wait."""
    if not json_schema.is_loaded():
        await trio.to_thread.run_sync(json_schema.load)


async def create(call: Call[DeploymentFlowRunCreate]) -> Response:
    """Make a run; with a known idempotency key, answer the earlier one."""
    services = call.services
    await load_json_schema()
    job = partial(
        command.create,
        id_=call.params[0],
        body=call.body,
        created_by=created_by(call.request),
        variables=no_variables,
        mint=services.mint,
        settings=services.settings,
    )
    run, is_new = await services.orchestrator.command(job)
    return Response(201 if is_new else 200, encode(run))


async def create_many(call: Call[list[DeploymentFlowRunCreate]]) -> FlowRunCreateResults:
    """Make runs one after the other. One that cannot be made is told of beside the others."""
    services, bodies = call.services, call.body
    if len(bodies) > RUNS_MAX:
        raise BadRequest(f"Cannot create more than {RUNS_MAX} flow runs at once.")
    await load_json_schema()
    results: list[FlowRunCreateResult] = []
    # No bodies are a job too: whether there is such a deployment is answered all the same.
    for first in range(0, max(1, len(bodies)), RUNS_IN_JOB):
        job = partial(
            command.create_many,
            id_=call.params[0],
            bodies=bodies[first : first + RUNS_IN_JOB],
            created_by=created_by(call.request),
            variables=no_variables,
            mint=services.mint,
            settings=services.settings,
        )
        try:
            results += await services.orchestrator.command(job)
        except NotFound as gone:
            if not results:
                raise
            # It was deleted meanwhile; the runs made before are told of.
            results += [FlowRunCreateResult(None, "FAILED", gone.detail) for _ in bodies[first:]]
            break
    return FlowRunCreateResults(results)


_PATH = "/deployments/{id}/create_flow_run"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", _PATH, create, DeploymentFlowRunCreate, FlowRun, status=201,
        summary="Create a flow run from a deployment",
    ),
    Operation(
        "POST", f"{_PATH}/bulk", create_many, list[DeploymentFlowRunCreate], FlowRunCreateResults,
        summary="Create flow runs from a deployment",
    ),
)  # fmt: skip
