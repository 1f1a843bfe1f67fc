"""The filter on deployments (alias `d`).

Source: `prefect.server.schemas.filters.DeploymentFilter`.
"""

from __future__ import annotations

from typing import Annotated

from lictor.schema.filters.criteria import (
    CriteriaOp,
    Flag,
    IdsNot,
    Like,
    NumbersOrNull,
    TagsOp,
    Texts,
    TextsLike,
)
from lictor.schema.filters.targets import Column, Either, Ignored, Tags

_FLOW_NAME = "(SELECT own.name FROM flow own WHERE own.id = d.flow_id)"


class DeploymentFilter(CriteriaOp):
    """`concurrency_limit` is deprecated: taken and ignored."""

    id: Annotated[IdsNot | None, Column("d.id")] = None
    name: Annotated[TextsLike | None, Column("d.name")] = None
    flow_or_deployment_name: Annotated[Like | None, Either(("d.name", _FLOW_NAME))] = None
    paused: Annotated[Flag | None, Column("d.paused")] = None
    tags: Annotated[TagsOp | None, Tags("d", "deployment_tag")] = None
    work_queue_name: Annotated[Texts | None, Column("d.work_queue_name")] = None
    concurrency_limit: Annotated[NumbersOrNull | None, Ignored()] = None
