"""Short ways to call the commands on deployments, their schedules, and the runs they make."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from command_world import World, as_sent

from lictor.schema.commands import (
    deployment_runs,
    deployment_schedules,
    deployments,
    work_pools,
)
from lictor.schema.commands.deployment_schedules import SchedulesChanged
from lictor.schema.rules.hydration import UnknownVariable
from lictor.schema.tables import deployment_schedules as schedule_table
from lictor.schema.tables import deployments as table
from lictor.schema.wire.deployments import (
    Deployment,
    DeploymentCreate,
    DeploymentFlowRunCreate,
    DeploymentUpdate,
    ScheduleCreate,
    ScheduleUpdate,
)
from lictor.schema.wire.flow_runs import FlowRun
from lictor.schema.wire.work_pools import WorkPoolCreate

NOBODY = "00000000-0000-4000-8000-000000000000"
HOURLY = {"interval": "PT1H", "anchor_date": "2030-01-01T00:00:00Z"}
DAILY = {"cron": "0 0 * * *"}


def variables(name: str) -> Any:
    """The server of these tests has one variable."""
    if name != "answer":
        raise UnknownVariable(name)
    return 42


def create(world: World, **body: Any) -> tuple[Deployment, bool]:
    decoded = as_sent({"flow_id": world.flow_id, "name": "dep", **body}, DeploymentCreate)
    return deployments.create(world.tx, decoded, world.mint, world.settings)


def deploy(world: World, **body: Any) -> str:
    return create(world, **body)[0].id


def update(world: World, id_: str, **body: Any) -> None:
    decoded = as_sent(body, DeploymentUpdate)
    deployments.update(world.tx, id_, decoded, variables, world.mint, world.settings)


def read(world: World, id_: str) -> Any:
    found = table.read(world.tx, id_, world.mint.now())
    assert found is not None
    return json.loads(msgspec.json.encode(found))


def start(world: World, id_: str, **body: Any) -> FlowRun:
    decoded = as_sent(body, DeploymentFlowRunCreate)
    return deployment_runs.create(
        world.tx, id_, decoded, None, variables, world.mint, world.settings
    )[0]


def schedule(world: World, id_: str, *bodies: dict[str, Any]) -> list[str]:
    decoded = [as_sent(body, ScheduleCreate) for body in bodies]
    made = deployment_schedules.create(world.tx, id_, decoded, world.mint)
    return [each.id for each in made]


def reschedule(world: World, id_: str, schedule_id: str, **body: Any) -> None:
    decoded = as_sent(body, ScheduleUpdate)
    deployment_schedules.update(world.tx, id_, schedule_id, decoded, world.mint)


def slugs(world: World, id_: str) -> list[str | None]:
    return sorted((each.slug for each in schedule_table.read_of(world.tx, id_)), key=str)


def pool(world: World, name: str = "pool", **variables_schema: Any) -> None:
    """A pool; its template declares the properties that are given, all of them required."""
    template: dict[str, Any] = {}
    if variables_schema:
        template = {
            "job_configuration": {"any": "".join(["{{ ", next(iter(variables_schema)), " }}"])},
            "variables": {
                "type": "object",
                "properties": variables_schema,
                "required": list(variables_schema),
            },
        }
    body = as_sent({"name": name, "base_job_template": template}, WorkPoolCreate)
    work_pools.create(world.tx, body, world.mint)


def scheduled_run(world: World, id_: str, due: str, *, auto: bool = True) -> str:
    """A run that waits, as a schedule (or, not `auto`, a user) has made it."""
    run = start(
        world,
        id_,
        tags=["waits"],
        state={"type": "SCHEDULED", "state_details": {"scheduled_time": due}},
    )
    world.tx.run("UPDATE flow_run SET auto_scheduled = ? WHERE id = ?", (int(auto), run.id))
    return run.id


def is_there(world: World, run_id: str) -> bool:
    return world.count("flow_run", "id = ?", run_id) == 1


def changes(world: World) -> list[str]:
    """The deployments whose schedules were said to have changed, since the last call."""
    found = [
        item.deployment_id for item in world.tx.published if isinstance(item, SchedulesChanged)
    ]
    world.tx.published.clear()
    return found


def deployment_events(world: World) -> list[Any]:
    return [each for each in world.events() if each.event.startswith("prefect.deployment.")]
