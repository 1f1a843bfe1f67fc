"""Single states, the histories of runs, and the states seen so far.

Source: `prefect.server.api.flow_run_states`, `prefect.server.api.task_run_states`,
`prefect.server.api.observed_states`.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.errors import NotFound
from lictor.schema.tables import states
from lictor.schema.wire.decode import query
from lictor.schema.wire.states import ObservedOrder, ObservedState, State

OBSERVED_MAX = 200
_Prefix: Any = Annotated[str, Meta(max_length=100)]
_Limit: Any = Annotated[int, Meta(ge=1, le=OBSERVED_MAX)]
_Order: Any = ObservedOrder


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


async def read_observed(call: Call[None]) -> list[ObservedState]:
    """The types and names of states that runs have been in."""
    prefix: str = query(call, "query", _Prefix, "").strip()
    order: ObservedOrder = query(call, "order_by", _Order, "LAST_SEEN_DESC")
    limit: int = query(call, "limit", _Limit, OBSERVED_MAX)
    return await call.services.readers.read(lambda tx: states.observed(tx, prefix, order, limit))


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
    Operation(
        "GET",
        "/observed-states",
        read_observed,
        result=list[ObservedState],
        query=("query", "order_by", "limit"),
        summary="Find the states that runs have been in",
    ),
)
