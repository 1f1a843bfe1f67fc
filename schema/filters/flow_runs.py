"""The filter on flow runs (alias `fr`).

Source: `prefect.server.schemas.filters.FlowRunFilter`. There is no `flow_id`: the filter on flows
serves for it.
"""

from __future__ import annotations

from typing import Annotated

from lictor.schema.filters.criteria import (
    CreatorOp,
    CriteriaOp,
    IdsNot,
    IdsOrNullOp,
    Moments,
    MomentsOrNull,
    ParentIdsOp,
    StateTypesNot,
    TagsOp,
    Texts,
    TextsLike,
    TextsNot,
    TextsOrNullOp,
)
from lictor.schema.filters.engine import Nested
from lictor.schema.filters.targets import Column, Creator, ParentFlowRun, Tags

STARTED = "coalesce(fr.start_time, fr.expected_start_time)"
"""When a run started, or should: what `start_time` compares and what START_TIME sorts by."""


class FlowRunStateFilter(CriteriaOp):
    type: Annotated[StateTypesNot | None, Column("fr.state_type")] = None
    name: Annotated[TextsNot | None, Column("fr.state_name")] = None


class FlowRunFilter(CriteriaOp):
    id: Annotated[IdsNot | None, Column("fr.id")] = None
    name: Annotated[TextsLike | None, Column("fr.name")] = None
    tags: Annotated[TagsOp | None, Tags("fr", "flow_run_tag")] = None
    deployment_id: Annotated[IdsOrNullOp | None, Column("fr.deployment_id")] = None
    work_queue_name: Annotated[TextsOrNullOp | None, Column("fr.work_queue_name")] = None
    state: Annotated[FlowRunStateFilter | None, Nested()] = None
    flow_version: Annotated[Texts | None, Column("fr.flow_version")] = None
    start_time: Annotated[MomentsOrNull | None, Column(STARTED, null="fr.start_time")] = None
    end_time: Annotated[MomentsOrNull | None, Column("fr.end_time")] = None
    expected_start_time: Annotated[Moments | None, Column("fr.expected_start_time")] = None
    next_scheduled_start_time: Annotated[
        Moments | None, Column("fr.next_scheduled_start_time")
    ] = None
    parent_flow_run_id: Annotated[
        ParentIdsOp | None, ParentFlowRun("fr.parent_task_run_id")
    ] = None
    parent_task_run_id: Annotated[IdsOrNullOp | None, Column("fr.parent_task_run_id")] = None
    idempotency_key: Annotated[TextsNot | None, Column("fr.idempotency_key")] = None
    created_by: Annotated[CreatorOp | None, Creator("fr.created_by")] = None
