"""Task workers: who is connected. Source: `prefect.server.api.task_workers`."""

from __future__ import annotations

from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.wire.task_workers import TaskWorker, TaskWorkerSearch


async def search(call: Call[TaskWorkerSearch]) -> list[TaskWorker]:
    """The connected task workers, those that serve given tasks or all."""
    criteria = call.body.task_worker_filter
    return call.services.task_queue.workers([] if criteria is None else criteria.task_keys)


OPERATIONS = (
    Operation(
        "POST",
        "/task_workers/filter",
        search,
        body=TaskWorkerSearch,
        result=list[TaskWorker],
        optional_body=True,
        summary="Find connected task workers",
    ),
)
