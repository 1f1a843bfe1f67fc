"""The filter on task runs (alias `tr`). Source: `prefect.server.schemas.filters.TaskRunFilter`."""

from __future__ import annotations

from typing import Annotated

from lictor.schema.filters.criteria import (
    CriteriaOp,
    Exists,
    FlowRunIdOp,
    Ids,
    Moments,
    MomentsOrNull,
    StateTypes,
    TagsAllOp,
    Texts,
    TextsLike,
)
from lictor.schema.filters.engine import Nested
from lictor.schema.filters.targets import Column, FlowRunOfTask, RelatedRow, Tags


class TaskRunStateFilter(CriteriaOp):
    type: Annotated[StateTypes | None, Column("tr.state_type")] = None
    name: Annotated[Texts | None, Column("tr.state_name")] = None


class TaskRunFilter(CriteriaOp):
    id: Annotated[Ids | None, Column("tr.id")] = None
    name: Annotated[TextsLike | None, Column("tr.name")] = None
    tags: Annotated[TagsAllOp | None, Tags("tr", "task_run_tag")] = None
    state: Annotated[TaskRunStateFilter | None, Nested()] = None
    start_time: Annotated[MomentsOrNull | None, Column("tr.start_time")] = None
    end_time: Annotated[MomentsOrNull | None, Column("tr.end_time")] = None
    expected_start_time: Annotated[Moments | None, Column("tr.expected_start_time")] = None
    subflow_runs: Annotated[
        Exists | None, RelatedRow("flow_run child", "child.parent_task_run_id = tr.id")
    ] = None
    flow_run_id: Annotated[FlowRunIdOp | None, FlowRunOfTask("tr.flow_run_id")] = None
