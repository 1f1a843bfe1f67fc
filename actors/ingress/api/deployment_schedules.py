"""The schedules of deployments. Source: `prefect.server.api.deployments`."""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import deployment_schedules as command
from lictor.schema.wire.deployments import DeploymentSchedule, ScheduleCreate, ScheduleUpdate


async def read_many(call: Call[None]) -> list[DeploymentSchedule]:
    """The schedules of a deployment, the one changed last first."""
    return call.services.readers.inline(partial(command.read_of, deployment_id=call.params[0]))


async def create(call: Call[list[ScheduleCreate]]) -> list[DeploymentSchedule]:
    """Give a deployment more schedules."""
    services = call.services
    job = partial(
        command.create, deployment_id=call.params[0], bodies=call.body, mint=services.mint
    )
    return await services.journal.write(job)


async def update(call: Call[ScheduleUpdate]) -> None:
    """Change a schedule; what was made for the future goes."""
    services, (deployment_id, id_) = call.services, call.params
    job = partial(
        command.update, deployment_id=deployment_id, id_=id_, body=call.body, mint=services.mint
    )
    await services.journal.write(job)


async def delete(call: Call[None]) -> None:
    """Delete a schedule, with the runs that have not started."""
    deployment_id, id_ = call.params
    job = partial(command.delete, deployment_id=deployment_id, id_=id_)
    await call.services.journal.write(job)


_PATH = "/deployments/{id}/schedules"
_ONE = f"{_PATH}/{{schedule_id}}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET", _PATH, read_many, result=list[DeploymentSchedule],
        summary="Read the schedules of a deployment",
    ),
    Operation(
        "POST", _PATH, create, list[ScheduleCreate], list[DeploymentSchedule], status=201,
        summary="Create schedules of a deployment",
    ),
    Operation("PATCH", _ONE, update, ScheduleUpdate, status=204, summary="Update a schedule"),
    Operation("DELETE", _ONE, delete, status=204, summary="Delete a schedule"),
)  # fmt: skip
