"""Single states and the histories of runs.

Source: `prefect.server.api.flow_run_states`, `prefect.server.api.task_run_states`.
"""

from __future__ import annotations

from uuid import UUID

from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.errors import NotFound
from lictor.schema.tables import states
from lictor.schema.wire.decode import query
from lictor.schema.wire.states import State


async def read_of_flow_run(call: Call[None]) -> State:
    """One state of a flow run."""
    state = call.services.readers.inline(lambda tx: states.read_of_flow_run(tx, call.params[0]))
    if state is None:
        raise NotFound("Flow run state not found")
    return state


async def read_of_task_run(call: Call[None]) -> State:
    """One state of a task run."""
    state = call.services.readers.inline(lambda tx: states.read_of_task_run(tx, call.params[0]))
    if state is None:
        raise NotFound("Task run state not found")
    return state


async def history_of_flow_run(call: Call[None]) -> list[State]:
    """Every state a flow run has had, oldest first."""
    run_id = str(query(call, "flow_run_id", UUID))
    return await call.services.readers.read(lambda tx: states.history_of_flow_run(tx, run_id))


async def history_of_task_run(call: Call[None]) -> list[State]:
    """Every state a task run has had, oldest first."""
    run_id = str(query(call, "task_run_id", UUID))
    return await call.services.readers.read(lambda tx: states.history_of_task_run(tx, run_id))


OPERATIONS = (
    Operation(
        "GET",
        "/flow_run_states/{id}",
        read_of_flow_run,
        result=State,
        summary="Read a state of a flow run",
    ),
    Operation(
        "GET",
        "/flow_run_states/",
        history_of_flow_run,
        result=list[State],
        query=("flow_run_id",),
        summary="Read every state of a flow run",
    ),
    Operation(
        "GET",
        "/task_run_states/{id}",
        read_of_task_run,
        result=State,
        summary="Read a state of a task run",
    ),
    Operation(
        "GET",
        "/task_run_states/",
        history_of_task_run,
        result=list[State],
        query=("task_run_id",),
        summary="Read every state of a task run",
    ),
)
