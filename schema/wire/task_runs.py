"""Task runs as the API sends and takes them.

Source: `prefect.server.schemas.core.TaskRun`, `prefect.server.schemas.actions.TaskRunCreate`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec
from msgspec import Meta, Raw

from lictor.schema.wire.coerce import Prepare
from lictor.schema.wire.flow_runs import Labels, carried_over
from lictor.schema.wire.states import State, StateBody

RetryDelays = Annotated[list[int | float], Meta(max_length=50)]


class TaskRunPolicy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a task run retries; delays in seconds. Stored sparse."""

    prepared: ClassVar[Prepare] = staticmethod(carried_over)

    max_retries: int = 0
    retry_delay_seconds: float = 0.0
    retries: int | None = None
    retry_delay: int | float | RetryDelays | None = None
    retry_jitter_factor: Annotated[float, Meta(ge=0)] | None = None

    def with_deprecated_fields(self) -> TaskRunPolicy:
        """The deprecated pair taken over where the newer one is unset."""
        retries, delay = self.retries, self.retry_delay
        if not retries and self.max_retries:
            retries = self.max_retries
        if not delay and self.retry_delay_seconds:
            delay = self.retry_delay_seconds
        if retries == self.retries and delay == self.retry_delay:
            return self
        return msgspec.structs.replace(self, retries=retries, retry_delay=delay)


class TaskRunResult(msgspec.Struct, tag_field="input_type", tag="task_run"):
    """An input that is another task run's result."""

    id: UUID


class FlowRunResult(msgspec.Struct, tag_field="input_type", tag="flow_run"):
    """An input that is a flow run's result."""

    id: UUID


class Parameter(msgspec.Struct, tag_field="input_type", tag="parameter"):
    """An input that is a parameter of the flow."""

    name: str


class Constant(msgspec.Struct, tag_field="input_type", tag="constant"):
    """An input that is a constant, known by its type only."""

    type: str


TaskInput = TaskRunResult | FlowRunResult | Parameter | Constant


class TaskRun(msgspec.Struct):
    """A task run as every answer carries it."""

    id: str
    created: str
    updated: str
    name: str
    flow_run_id: str | None
    task_key: str
    dynamic_key: str
    cache_key: str | None
    cache_expiration: str | None
    task_version: str | None
    empirical_policy: Raw
    tags: Raw
    labels: Raw
    task_inputs: Raw
    state_id: str | None
    state_type: str | None
    state_name: str | None
    run_count: int
    flow_run_run_count: int
    expected_start_time: str | None
    next_scheduled_start_time: str | None
    start_time: str | None
    end_time: str | None
    total_run_time: float
    estimated_run_time: float
    estimated_start_time_delta: float
    state: State | None


class TaskRunCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /task_runs/`."""

    task_key: str
    dynamic_key: str
    id: UUID | None = None
    state: StateBody | None = None
    name: str | None = None
    flow_run_id: UUID | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    task_version: str | None = None
    empirical_policy: TaskRunPolicy = msgspec.field(default_factory=TaskRunPolicy)
    tags: list[str] = msgspec.field(default_factory=list)
    labels: Labels | None = msgspec.field(default_factory=dict)
    task_inputs: dict[str, list[TaskInput]] = msgspec.field(default_factory=dict)


class TaskRunUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH /task_runs/{id}`; without a name the run gets a new generated one."""

    name: str | None = None
