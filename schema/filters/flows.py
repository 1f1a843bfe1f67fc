"""The filter on flows (alias `f`). Source: `prefect.server.schemas.filters.FlowFilter`."""

from __future__ import annotations

from typing import Annotated

from lictor.schema.filters.criteria import CriteriaOp, IdsNot, Null, TagsAllOp, TextsLike
from lictor.schema.filters.targets import Column, RelatedRow, Tags


class FlowFilter(CriteriaOp):
    id: Annotated[IdsNot | None, Column("f.id")] = None
    deployment: Annotated[Null | None, RelatedRow("deployment own", "own.flow_id = f.id")] = None
    name: Annotated[TextsLike | None, Column("f.name")] = None
    tags: Annotated[TagsAllOp | None, Tags("f", "flow_tag")] = None
