"""What workers and runners ask for work with, and what they are answered.

Source: `prefect.server.api.{workers,deployments,work_queues}`,
`prefect.server.schemas.responses.WorkerFlowRunResponse`.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from lictor.schema.wire.flow_runs import FlowRun


class PoolPoll(msgspec.Struct, kw_only=True):
    """A worker asks for runs of its pool; no names: of every queue."""

    work_queue_names: list[str] | None = None
    scheduled_before: datetime | None = None
    scheduled_after: datetime | None = None
    limit: int | None = None


class QueuePoll(msgspec.Struct, kw_only=True):
    """An agent asks for runs of one queue."""

    scheduled_before: datetime | None = None
    limit: int | None = None


class DeploymentsPoll(msgspec.Struct, kw_only=True):
    """A runner asks for runs of the deployments that it serves."""

    deployment_ids: list[UUID]
    scheduled_before: datetime | None = None
    limit: int | None = None


class ScheduleNow(msgspec.Struct, kw_only=True):
    """Bounds of `POST /deployments/{id}/schedule`; what is null is as the settings say."""

    start_time: datetime | None = None
    end_time: datetime | None = None
    min_time: float | None = None
    min_runs: int | None = None
    max_runs: int | None = None


class WorkerFlowRun(msgspec.Struct):
    """A run for a worker. In `flow_run` what it says of its pool is unset."""

    work_pool_id: str
    work_queue_id: str
    flow_run: FlowRun
