"""Task workers as the API sends and looks for them.

Source: `prefect.server.api.task_workers`, `prefect.server.models.task_workers`.
"""

from __future__ import annotations

import msgspec


class TaskWorkerFilter(msgspec.Struct):
    """Those that serve at least one of `task_keys`; all of them when there is none."""

    task_keys: list[str]


class TaskWorkerSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /task_workers/filter`."""

    task_worker_filter: TaskWorkerFilter | None = None


class TaskWorker(msgspec.Struct):
    """A task worker that is connected, and when it was last seen."""

    identifier: str
    task_keys: list[str]
    timestamp: str
