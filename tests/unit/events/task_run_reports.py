"""Task-run events as clients report them, and the flow runs they are about."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

from lictor.schema import times
from lictor.schema.backends.sqlite import SqliteTx
from lictor.schema.events.event import Event

NOW = "2026-11-21T12:00:00.000000Z"
FLOW = str(UUID(int=1))
RUN, OTHER_RUN = str(UUID(int=2)), str(UUID(int=3))
TASK, OTHER_TASK, THIRD_TASK = (str(UUID(int=number)) for number in (10, 11, 12))
numbers = itertools.count(1000)


def change(
    name: str,
    second: int,
    /,
    *,
    task: str = TASK,
    run: str | None = RUN,
    key: str = "0",
    state: dict[str, Any] | None = None,
    **task_run: Any,
) -> Event:
    """The event of a task run that enters the state `name` at `second`."""
    type_ = {"Late": "SCHEDULED", "Cached": "COMPLETED"}.get(name, name.upper())
    occurred = times.shift(NOW, second)
    return Event(
        occurred=occurred,
        event=f"prefect.task-run.{name}",
        resource={
            "prefect.resource.id": f"prefect.task-run.{task}",
            "prefect.orchestration": "client",
        },
        related=[]
        if run is None
        else [
            {"prefect.resource.id": "prefect.tag.x", "prefect.resource.role": "tag"},
            {
                "prefect.resource.id": f"prefect.flow-run.{run}",
                "prefect.resource.role": "flow-run",
            },
        ],
        payload={
            "validated_state": {
                "type": type_, "name": name, "message": None, "state_details": {}, "data": None,
                **(state or {}),
            },
            "task_run": {"task_key": "work", "dynamic_key": key, "name": "work-0", **task_run},
        },
        id=str(UUID(int=next(numbers))),
        follows=None,
        received=NOW,
    )  # fmt: skip


def insert_flow_runs(tx: SqliteTx) -> None:
    """`RUN` and `OTHER_RUN`, of one flow."""
    tx.run(
        "INSERT INTO flow (id, created, updated, name, tags, labels) VALUES (?, ?, ?, 'f', ?, ?)",
        (FLOW, NOW, NOW, "[]", "{}"),
    )
    for id_ in (RUN, OTHER_RUN):
        tx.run(
            "INSERT INTO flow_run (id, created, updated, name, flow_id, parameters, context,"
            " empirical_policy, tags, labels)"
            " VALUES (?, ?, ?, 'r', ?, '{}', '{}', '{}', '[]', '{}')",
            (id_, NOW, NOW, FLOW),
        )
