"""Work queues as the API sends and takes them.

Source: `prefect.server.schemas.responses.WorkQueueResponse`, `WorkQueueCreate` and
`WorkQueueUpdate` of `prefect.server.schemas.actions`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from lictor.schema.filters.work_pools import WorkQueueFilter
from lictor.schema.rules.work_status import Status

_INTEGER_MAX = 2**63 - 1
FILTER_VALUES_MAX = 1000
"""Tags, or deployments, in the filter of a queue: it is applied at each poll."""

WorkName = Annotated[str, Meta(pattern="^[^/%&><]+$")]
Limit = Annotated[int, Meta(ge=0, le=_INTEGER_MAX)]
Priority = Annotated[int, Meta(gt=0, le=2**31 - 1)]
Offset = Annotated[int, Meta(ge=0)]
PageNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class WorkQueue(msgspec.Struct, frozen=True):
    """A work queue as every answer carries it. `active_slots` is null without a limit."""

    id: str
    created: str
    updated: str
    name: str
    description: str | None
    is_paused: bool
    concurrency_limit: int | None
    priority: int
    work_pool_id: str
    filter: Raw | None
    last_polled: str | None
    work_pool_name: str
    status: Status
    active_slots: int | None


class QueueFilter(msgspec.Struct, kw_only=True):
    """Deprecated: which runs of deployments a queue hands out that is asked without its pool."""

    tags: list[str] | None = None
    deployment_ids: list[UUID] | None = None


class QueueFilterBody(QueueFilter, kw_only=True):
    """The same in a request. What was stored before there was a bound may be longer."""

    tags: Annotated[list[str], Meta(max_length=FILTER_VALUES_MAX)] | None = None
    deployment_ids: Annotated[list[UUID], Meta(max_length=FILTER_VALUES_MAX)] | None = None


class WorkQueueCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /work_pools/{name}/queues` and `POST /work_queues/`."""

    name: WorkName
    description: str | None = ""
    is_paused: bool = False
    concurrency_limit: Limit | None = None
    priority: Priority | None = None
    filter: QueueFilterBody | None = None


class WorkQueueUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH …/queues/{name}` and `PATCH /work_queues/{id}`: only what is there counts."""

    name: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    is_paused: bool | UnsetType = UNSET
    concurrency_limit: Limit | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    last_polled: datetime | UnsetType | None = UNSET
    filter: QueueFilterBody | UnsetType | None = UNSET


class WorkQueueSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /work_queues/filter` and `POST /work_pools/{name}/queues/filter`."""

    work_queues: WorkQueueFilter | None = None
    limit: int | None = None
    offset: Offset = 0


class HealthPolicy(msgspec.Struct):
    """When a queue counts as healthy."""

    maximum_late_runs: int
    maximum_seconds_since_last_polled: int


class WorkQueueHealth(msgspec.Struct):
    """Answer of `GET /work_queues/{id}/status`."""

    healthy: bool
    late_runs_count: int
    last_polled: str | None
    health_check_policy: HealthPolicy


class SlotHolder(msgspec.Struct):
    """A run that takes one of a queue's slots. `time_in_current_state` is in seconds."""

    id: str
    name: str
    state_type: str | None
    state_name: str | None
    start_time: str | None
    state_timestamp: str | None
    time_in_current_state: float | None


class WorkQueueSlotsQuery(msgspec.Struct, kw_only=True):
    """Body of `POST /work_queues/{id}/concurrency_status`."""

    page: PageNumber = 1
    limit: int | None = None


class WorkQueueSlots(msgspec.Struct):
    """Answer of `POST /work_queues/{id}/concurrency_status`: a page of the runs."""

    active_slots: int
    concurrency_limit: int | None
    flow_runs: list[SlotHolder]
    count: int
    limit: int
    pages: int
    page: int
