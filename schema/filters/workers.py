"""The filter on workers (alias `w`). Source: `prefect.server.schemas.filters.WorkerFilter`."""

from __future__ import annotations

from typing import Annotated

from lictor.schema.filters.criteria import Criteria, CriteriaOp, Moments
from lictor.schema.filters.targets import Column
from lictor.schema.rules.work_status import WorkerStatus


class WorkerStatuses(Criteria):
    any_: list[WorkerStatus] | None = None
    not_any_: list[WorkerStatus] | None = None


class WorkerFilter(CriteriaOp):
    last_heartbeat_time: Annotated[Moments | None, Column("w.last_heartbeat_time")] = None
    status: Annotated[WorkerStatuses | None, Column("w.status")] = None
