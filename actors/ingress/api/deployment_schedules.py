"""The schedules of deployments. Source: `prefect.server.api.deployments`."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from lictor.actors.ingress.operations import Call, Operation
from lictor.actors.ingress.services import Services
from lictor.schema.commands import deployment_schedules as command
from lictor.schema.commands import scheduled_runs as runs
from lictor.schema.errors import Unavailable
from lictor.schema.rules.horizon import Bounds
from lictor.schema.times import parse, text
from lictor.schema.wire.deployments import DeploymentSchedule, ScheduleCreate, ScheduleUpdate
from lictor.schema.wire.polls import ScheduleNow

RUNS_IN_JOB = 50
"""Some milliseconds of the writer's thread, for which others wait."""
TRIES_MAX = 3
"""How often dates are computed for a schedule that is changed meanwhile."""


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


async def schedule_now(call: Call[ScheduleNow]) -> None:
    """Make the runs of a deployment's schedules between two moments, past ones as well.

    Dates are computed on a reader's thread and runs made in small jobs, so that a request for very
    many holds up nobody else. Whoever is cut off may ask again: no run is made twice.
    """
    services = call.services
    reach = _reach(call)
    ids = services.readers.inline(partial(runs.active_schedules, deployment_id=call.params[0]))
    for id_ in ids:
        for _ in range(TRIES_MAX):
            if await _make_runs(services, id_, reach):
                break
        else:
            raise Unavailable(f"Schedule {id_} is being changed all the time; try again.")


def _reach(call: Call[ScheduleNow]) -> Bounds:
    body, services = call.body, call.services
    now = parse(services.mint.now())
    start = now if body.start_time is None else _aware(body.start_time)
    usual = runs.bounds(now, services.settings)
    least_s = usual.ahead_min_s if body.min_time is None else body.min_time
    return usual._replace(
        start=start,
        end=start + (usual.end - now) if body.end_time is None else _aware(body.end_time),
        ahead_min_s=max(0.0, min(least_s, timedelta(days=36_500).total_seconds())),
        runs_min=usual.runs_min if body.min_runs is None else body.min_runs,
        runs_max=usual.runs_max if body.max_runs is None else max(1, body.max_runs),
    )


async def _make_runs(services: Services, schedule_id: str, reach: Bounds) -> bool:
    """Make the runs of one schedule; False if it was changed before all were made."""
    wanted = await services.readers.read_on_thread(
        partial(runs.wanted, schedule_id=schedule_id, reach=reach)
    )
    if wanted is None:
        return True
    for first in range(0, len(wanted.dates), RUNS_IN_JOB):
        part = wanted._replace(dates=wanted.dates[first : first + RUNS_IN_JOB])
        job = partial(runs.store_wanted, wanted=part, mint=services.mint)
        if not await services.journal.write(job):
            return False
    return True


def _aware(moment: datetime) -> datetime:
    return parse(text(moment))


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
    Operation(
        "POST", "/deployments/{id}/schedule", schedule_now, ScheduleNow, optional_body=True,
        summary="Make the runs of a deployment's schedules",
    ),
)  # fmt: skip
