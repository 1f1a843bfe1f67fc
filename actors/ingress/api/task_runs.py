"""Task runs: create, read, rename, delete, set state.

Source: `prefect.server.api.task_runs`. Searches are in `task_run_search.py`.
"""

from __future__ import annotations

from functools import partial

from lictor.actors.ingress.http import Response, encode
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import task_runs
from lictor.schema.errors import NotFound
from lictor.schema.tables import task_runs as table
from lictor.schema.times import parse
from lictor.schema.wire.flow_runs import OrchestrationResult
from lictor.schema.wire.states import SetState
from lictor.schema.wire.task_runs import TaskRun, TaskRunCreate, TaskRunUpdate


async def create(call: Call[TaskRunCreate]) -> Response:
    """Create a task run, or answer the one that has the same keys."""
    services = call.services
    job = partial(task_runs.create, body=call.body, mint=services.mint, settings=services.settings)
    run, is_new = await services.orchestrator.command(job)
    return Response(201 if is_new else 200, encode(run))


async def read(call: Call[None]) -> TaskRun:
    """One task run with its state."""
    services = call.services
    id_ = call.params[0]
    now = parse(services.mint.now())
    run = services.readers.inline(lambda tx: table.read(tx, id_, now))
    if run is None:
        raise NotFound("Task not found")
    return run


async def update(call: Call[TaskRunUpdate]) -> None:
    """Rename the task run."""
    services = call.services
    job = partial(task_runs.rename, id_=call.params[0], body=call.body, mint=services.mint)
    await services.orchestrator.command(job)


async def delete(call: Call[None]) -> None:
    """Delete the task run, its states and logs."""
    id_ = call.params[0]
    if not await call.services.orchestrator.command(lambda tx: task_runs.delete(tx, id_)):
        raise NotFound("Task not found")


async def set_state(call: Call[SetState]) -> Response:
    """Propose a state: 201 with a new state, 200 when nothing was written."""
    services = call.services
    job = partial(
        task_runs.set_state,
        id_=call.params[0],
        body=call.body,
        mint=services.mint,
        settings=services.settings,
    )
    result, is_new = await services.orchestrator.command(job)
    return Response(201 if is_new else 200, encode(result))


OPERATIONS = (
    Operation("POST", "/task_runs/", create, body=TaskRunCreate, result=TaskRun, status=201),
    Operation("GET", "/task_runs/{id}", read, result=TaskRun),
    Operation("PATCH", "/task_runs/{id}", update, body=TaskRunUpdate, status=204),
    Operation("DELETE", "/task_runs/{id}", delete, status=204),
    Operation(
        "POST",
        "/task_runs/{id}/set_state",
        set_state,
        body=SetState,
        result=OrchestrationResult,
        optional_body=True,
    ),
)
