"""The filters on work pools (alias `wp`) and their queues (alias `wq`).

Source: `prefect.server.schemas.filters.{WorkPoolFilter,WorkQueueFilter}`.
"""

from __future__ import annotations

from typing import Annotated

from lictor.schema.filters.criteria import (
    CriteriaOp,
    Ids,
    Texts,
    TextsStarting,
)
from lictor.schema.filters.targets import Column


class WorkPoolFilter(CriteriaOp):
    id: Annotated[Ids | None, Column("wp.id")] = None
    name: Annotated[Texts | None, Column("wp.name")] = None
    type: Annotated[Texts | None, Column("wp.type")] = None


class WorkQueueFilter(CriteriaOp):
    id: Annotated[Ids | None, Column("wq.id")] = None
    name: Annotated[TextsStarting | None, Column("wq.name")] = None
