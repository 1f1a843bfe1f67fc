"""Deployments: create, read, change, delete. Source: `prefect.server.api.deployments`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.api.deployment_runs import load_json_schema
from lictor.actors.ingress.api.flow_runs import created_by
from lictor.actors.ingress.api.paging import filters_of
from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import deployment_queues, deployments
from lictor.schema.errors import NotFound
from lictor.schema.rules.hydration import no_variables
from lictor.schema.tables import deployments as table
from lictor.schema.wire.deployments import (
    Deployment,
    DeploymentBulkDelete,
    DeploymentCreate,
    DeploymentsDeleted,
    DeploymentUpdate,
    WorkQueueOfDeployment,
)

BULK_LIMIT = 50


async def create(call: Call[DeploymentCreate]) -> Response:
    """Create a deployment, or change the one of that flow and name.

    Who asks is not noted, but must be said rightly.
    """
    services = call.services
    created_by(call.request)
    if call.body.enforce_parameter_schema is True:
        await load_json_schema()
    job = partial(
        deployments.create,
        body=call.body,
        mint=services.mint,
        settings=services.settings,
    )
    deployment, is_new = await services.journal.write(job)
    return Response(201 if is_new else 200, encode(deployment))


async def read(call: Call[None]) -> Deployment:
    """One deployment with its schedules."""
    services = call.services
    job = partial(table.read, id_=call.params[0], now=services.mint.now())
    return _found(services.readers.inline(job))


async def read_by_name(call: Call[None]) -> Deployment:
    """One deployment, by the names of its flow and its own."""
    services, (flow_name, name) = call.services, call.params
    job = partial(table.read_by_name, flow_name=flow_name, name=name, now=services.mint.now())
    return _found(services.readers.inline(job))


def _found(deployment: Deployment | None) -> Deployment:
    if deployment is None:
        raise NotFound("Deployment not found")
    return deployment


async def update(call: Call[DeploymentUpdate]) -> None:
    """Write the fields that are in the body."""
    services = call.services
    await load_json_schema()
    job = partial(
        deployments.update,
        id_=call.params[0],
        body=call.body,
        variables=no_variables,
        mint=services.mint,
        settings=services.settings,
    )
    await services.journal.write(job)


async def delete(call: Call[None]) -> None:
    """Delete a deployment with its schedules and the runs that never ran."""
    services = call.services
    job = partial(deployments.delete, id_=call.params[0], mint=services.mint)
    if not await services.journal.write(job):
        raise NotFound("Deployment not found")


async def delete_many(call: Call[DeploymentBulkDelete]) -> DeploymentsDeleted:
    """Delete the deployments that match, each in a transaction of its own."""
    services, body = call.services, call.body
    limit = BULK_LIMIT if body.limit is None else body.limit
    ids = await services.readers.read(
        partial(table.matching_ids, filters=filters_of(body), limit=limit)
    )
    deleted = [
        id_
        for id_ in ids
        if await services.journal.write(partial(deployments.delete, id_=id_, mint=services.mint))
    ]
    return DeploymentsDeleted(deleted)


async def check_work_queues(call: Call[None]) -> list[WorkQueueOfDeployment]:
    """The work queues that may hand out the deployment's runs. Deprecated."""
    return await call.services.readers.read(
        partial(deployment_queues.that_may_serve, deployment_id=call.params[0])
    )


async def pause(call: Call[None]) -> None:
    """Let schedules make no more runs, and delete those they have made."""
    services, id_ = call.services, call.params[0]
    await services.journal.write(
        partial(deployments.set_paused, id_=id_, paused=True, mint=services.mint)
    )


async def resume(call: Call[None]) -> None:
    """Let schedules make runs again."""
    services, id_ = call.services, call.params[0]
    await services.journal.write(
        partial(deployments.set_paused, id_=id_, paused=False, mint=services.mint)
    )


_ONE = "/deployments/{id}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST", "/deployments/", create, DeploymentCreate, Deployment, status=201,
        summary="Create a deployment",
    ),
    Operation("GET", _ONE, read, result=Deployment, summary="Read a deployment"),
    Operation(
        "GET", "/deployments/name/{flow_name:str}/{deployment_name:str}", read_by_name,
        result=Deployment, summary="Read a deployment by name",
    ),
    Operation("PATCH", _ONE, update, DeploymentUpdate, status=204, summary="Update a deployment"),
    Operation("DELETE", _ONE, delete, status=204, summary="Delete a deployment"),
    Operation(
        "POST", "/deployments/bulk_delete", delete_many, DeploymentBulkDelete, DeploymentsDeleted,
        optional_body=True, summary="Delete deployments that match",
    ),
    Operation(
        "GET", f"{_ONE}/work_queue_check", check_work_queues,
        result=list[WorkQueueOfDeployment], summary="Work queues of a deployment",
    ),
    Operation("POST", f"{_ONE}/pause_deployment", pause, summary="Pause a deployment"),
    Operation("POST", f"{_ONE}/resume_deployment", resume, summary="Resume a deployment"),
)  # fmt: skip
