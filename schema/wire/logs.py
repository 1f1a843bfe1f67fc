"""Log lines as the API sends and takes them.

Source: `prefect.server.schemas.core.Log`, `prefect.server.schemas.actions.LogCreate`,
`prefect.server.api.logs`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from lictor.schema.filters.logs import LogFilter
from lictor.schema.wire.filters import Offset

Level = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""10 is DEBUG, 50 is CRITICAL; any number the store can hold is taken."""

LogSort = Literal["TIMESTAMP_ASC", "TIMESTAMP_DESC"]


class LogCreate(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One line of `POST /logs/`. The runs need not exist."""

    name: str
    level: Level
    message: str
    timestamp: datetime
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class Log(msgspec.Struct, gc=False):
    """A log line as every answer carries it."""

    id: str
    created: str
    updated: str
    name: str
    level: int
    message: str
    timestamp: str
    flow_run_id: str | None
    task_run_id: str | None


class LogSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /logs/filter`."""

    logs: LogFilter | None = None
    sort: LogSort | None = None
    limit: int | None = None
    offset: Offset | None = None
