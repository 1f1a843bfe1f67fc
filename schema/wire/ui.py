"""Answers made for the UI. Durations are seconds. Source: `prefect.server.api.ui`."""

from __future__ import annotations

import msgspec

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
