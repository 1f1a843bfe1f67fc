"""Workers as the API sends and takes them.

Source: `prefect.server.schemas.responses.WorkerResponse`, `prefect.server.api.workers`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from lictor.schema.filters.workers import WorkerFilter
from lictor.schema.rules.work_status import WorkerStatus
from lictor.schema.wire.work_queues import Offset

INTERVAL_MAX_S = 31_536_000
"""A year: no longer interval means anything, and moments end."""


Interval = Annotated[int, Meta(ge=-INTERVAL_MAX_S, le=INTERVAL_MAX_S)]


class Worker(msgspec.Struct, frozen=True):
    """A worker as every answer carries it; `status` is that of the moment."""

    id: str
    created: str
    updated: str
    name: str
    work_pool_id: str
    last_heartbeat_time: str
    heartbeat_interval_seconds: int | None
    status: WorkerStatus


class Heartbeat(msgspec.Struct, kw_only=True):
    """Body of `POST /work_pools/{name}/workers/heartbeat`."""

    name: str
    heartbeat_interval_seconds: Interval | None = None


class WorkerSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /work_pools/{name}/workers/filter`."""

    workers: WorkerFilter | None = None
    limit: int | None = None
    offset: Offset = 0
