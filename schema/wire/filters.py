"""Bodies of the requests that search, count and aggregate flows, flow runs and task runs.

Every key may be null or absent; unknown keys at the top are ignored, inside a filter they are
errors (`schema/filters/`). `limit` is checked against the settings by the handler.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from lictor.schema.filters.deployments import DeploymentFilter
from lictor.schema.filters.flow_runs import FlowRunFilter
from lictor.schema.filters.flows import FlowFilter
from lictor.schema.filters.sorts import DeploymentSort, FlowRunSort, FlowSort, TaskRunSort
from lictor.schema.filters.task_runs import TaskRunFilter
from lictor.schema.filters.work_pools import WorkPoolFilter, WorkQueueFilter

Offset = Annotated[int, Meta(ge=0)]
PageNumber = Annotated[int, Meta(ge=1)]


class RunFilters(msgspec.Struct, kw_only=True):
    """The filters every search of this family takes."""

    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    task_runs: TaskRunFilter | None = None
    deployments: DeploymentFilter | None = None


class FlowFilters(RunFilters, kw_only=True):
    """Body of `POST /flows/count`."""

    work_pools: WorkPoolFilter | None = None


class DeploymentFilters(RunFilters, kw_only=True):
    """Body of `POST /deployments/count`."""

    work_pools: WorkPoolFilter | None = None
    work_pool_queues: WorkQueueFilter | None = None


class DeploymentSearch(DeploymentFilters, kw_only=True):
    """Body of `POST /deployments/filter`."""

    sort: DeploymentSort | None = None
    limit: int | None = None
    offset: Offset | None = None


class DeploymentPages(DeploymentFilters, kw_only=True):
    """Body of `POST /deployments/paginate`."""

    sort: DeploymentSort | None = None
    limit: int | None = None
    page: PageNumber | None = None


class FlowRunFilters(RunFilters, kw_only=True):
    """Body of `POST /flow_runs/count` and `/flow_runs/lateness`."""

    work_pools: WorkPoolFilter | None = None
    work_pool_queues: WorkQueueFilter | None = None


class FlowSearch(FlowFilters, kw_only=True):
    """Body of `POST /flows/filter`."""

    sort: FlowSort | None = None
    limit: int | None = None
    offset: Offset | None = None


class FlowPages(FlowFilters, kw_only=True):
    """Body of `POST /flows/paginate`."""

    sort: FlowSort | None = None
    limit: int | None = None
    page: PageNumber | None = None


class FlowRunSearch(FlowRunFilters, kw_only=True):
    """Body of `POST /flow_runs/filter`."""

    sort: FlowRunSort | None = None
    limit: int | None = None
    offset: Offset | None = None


class FlowRunPages(FlowRunFilters, kw_only=True):
    """Body of `POST /flow_runs/paginate`."""

    sort: FlowRunSort | None = None
    limit: int | None = None
    page: PageNumber | None = None


class TaskRunSearch(RunFilters, kw_only=True):
    """Body of `POST /task_runs/filter`."""

    sort: TaskRunSort | None = None
    limit: int | None = None
    offset: Offset | None = None


class TaskRunPages(RunFilters, kw_only=True):
    """Body of `POST /task_runs/paginate`."""

    sort: TaskRunSort | None = None
    limit: int | None = None
    page: PageNumber | None = None


class TaskRunHistory(RunFilters, kw_only=True):
    """Body of `POST /task_runs/history`; the interval is in seconds."""

    history_start: datetime
    history_end: datetime
    history_interval_seconds: float


class FlowRunHistory(TaskRunHistory, kw_only=True):
    """Body of `POST /flow_runs/history`."""

    work_pools: WorkPoolFilter | None = None
    work_queues: WorkQueueFilter | None = None


class RecentFlowRuns(RunFilters, kw_only=True):
    """Body of `POST /ui/flow_runs/history`."""

    work_pools: WorkPoolFilter | None = None
    sort: FlowRunSort | None = None
    limit: Annotated[int, Meta(le=1000)] | None = None
    offset: Offset | None = None


class DashboardCounts(msgspec.Struct, kw_only=True):
    """Body of `POST /ui/task_runs/dashboard/counts`."""

    task_runs: TaskRunFilter
    flows: FlowFilter | None = None
    flow_runs: FlowRunFilter | None = None
    deployments: DeploymentFilter | None = None
    work_pools: WorkPoolFilter | None = None
    work_queues: WorkQueueFilter | None = None


IdList = Annotated[list[UUID], Meta(max_length=200)]


class FlowRunIds(msgspec.Struct, kw_only=True):
    """Body of `POST /ui/flow_runs/count-task-runs`."""

    flow_run_ids: IdList


class FlowIds(msgspec.Struct, kw_only=True):
    """Body of `POST /ui/flows/count-deployments` and `/ui/flows/next-runs`."""

    flow_ids: IdList
