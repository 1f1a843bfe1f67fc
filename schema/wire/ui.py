"""Answers made for the UI. Durations are seconds. Source: `prefect.server.api.ui`."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from lictor.schema.wire.states import State
from lictor.schema.wire.task_runs import TaskRun


class RecentFlowRun(msgspec.Struct):
    """One dot of the UI's scatter plot. `timestamp`: the start, or the expected one."""

    id: str
    state_type: str | None
    timestamp: str | None
    duration: float
    lateness: float


class OutcomeCount(msgspec.Struct):
    """Task runs of one bucket by how they ended; `failed` counts crashed ones too."""

    completed: int = 0
    failed: int = 0


class NextRun(msgspec.Struct):
    """The earliest scheduled run of a flow."""

    id: str
    flow_id: str
    name: str
    state_name: str
    state_type: str
    next_scheduled_start_time: str


class NamedTaskRun(TaskRun):
    """A task run with the name of its flow run."""

    flow_run_name: str | None


class ListedTaskRun(msgspec.Struct):
    """A task run as `POST /task_runs/paginate` lists it: shorter than elsewhere.

    Source: `prefect.server.schemas.responses.TaskRunResponse`.
    """

    id: str
    created: str
    updated: str
    name: str
    flow_run_id: str | None
    task_key: str
    state_id: str | None
    state: State | None
    task_version: str | None
    task_inputs: Raw
    empirical_policy: Raw
    tags: Raw
    start_time: str | None
    end_time: str | None
    total_run_time: float
    estimated_run_time: float
    estimated_start_time_delta: float


def listed(run: TaskRun) -> ListedTaskRun:
    """The shorter form of `run`."""
    return ListedTaskRun(*[getattr(run, name) for name in ListedTaskRun.__struct_fields__])
