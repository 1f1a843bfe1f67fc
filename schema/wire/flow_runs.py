"""Flow runs as the API sends and takes them.

Source: `prefect.server.schemas.core.FlowRun`, `prefect.server.schemas.responses.FlowRunResponse`,
`prefect.server.schemas.actions.{FlowRunCreate,FlowRunUpdate}`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from lictor.schema.wire.coerce import Fault, Prepare
from lictor.schema.wire.states import State, StateBody

Labels = dict[str, bool | int | float | str]


def carried_over(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy as it was sent, its deprecated fields taken over by the newer ones that are unset: a
    fault in the former is one in the latter too.
    """
    found = dict(policy)
    for old, new in (("max_retries", "retries"), ("retry_delay_seconds", "retry_delay")):
        if not found.get(new) and found.get(old, 0) != 0:
            found[new] = found[old]
    return found


class FlowRunPolicy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a flow run retries and pauses. Stored sparse; `flow_run_policy_json` completes it.

    `max_retries` and `retry_delay_seconds` are deprecated and only feed the newer pair.
    """

    max_retries: int = 0
    retry_delay_seconds: float = 0.0
    retries: int | None = None
    retry_delay: int | None = None
    pause_keys: list[str] | None = msgspec.field(default_factory=list)
    resuming: bool | None = False
    retry_type: Literal["in_process", "reschedule"] | None = None

    def with_deprecated_fields(self) -> FlowRunPolicy:
        """The deprecated pair taken over where the newer one is unset."""
        retries, delay = self.retries, self.retry_delay
        if not retries and self.max_retries:
            retries = self.max_retries
        if not delay and self.retry_delay_seconds:
            delay = int(self.retry_delay_seconds)
        if retries == self.retries and delay == self.retry_delay:
            return self
        return msgspec.structs.replace(self, retries=retries, retry_delay=delay)


class FlowRunPolicyBody(FlowRunPolicy, kw_only=True, omit_defaults=True):
    """A policy in a request: the deprecated delay must do for the newer one, in whole seconds."""

    prepared: ClassVar[Prepare] = staticmethod(carried_over)

    def __post_init__(self) -> None:
        if not self.retry_delay and not self.retry_delay_seconds.is_integer():
            said = "Input should be a valid integer, got a number with a fractional part"
            raise Fault(said, "int_from_float", ("retry_delay",))
        if self.pause_keys:
            self.pause_keys = list(dict.fromkeys(self.pause_keys))


class FlowRun(msgspec.Struct):
    """A flow run as every answer carries it. JSON columns go out as they are stored.

    A worker is told of the pool beside the run: there what the run says of it is unset.
    """

    id: str
    created: str
    updated: str
    name: str
    flow_id: str
    deployment_id: str | None
    deployment_version: str | None
    work_queue_id: str | None
    work_queue_name: str | None
    flow_version: str | None
    parameters: Raw
    idempotency_key: str | None
    context: Raw
    empirical_policy: Raw
    tags: Raw
    labels: Raw
    parent_task_run_id: str | None
    state_id: str | None
    state_type: str | None
    state_name: str | None
    run_count: int
    expected_start_time: str | None
    next_scheduled_start_time: str | None
    start_time: str | None
    end_time: str | None
    total_run_time: float
    estimated_run_time: float
    estimated_start_time_delta: float
    auto_scheduled: bool
    infrastructure_document_id: str | None
    infrastructure_pid: str | None
    job_variables: Raw
    created_by: Raw | None
    work_pool_id: str | UnsetType | None
    work_pool_name: str | UnsetType | None
    state: State | None


class FlowRunCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /flow_runs/`. Values of `parameters` are kept to the letter."""

    flow_id: UUID
    state: StateBody | None = None
    name: str | None = None
    flow_version: str | None = None
    parameters: dict[str, Raw] = msgspec.field(default_factory=dict)
    context: dict[str, Raw] = msgspec.field(default_factory=dict)
    parent_task_run_id: UUID | None = None
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicyBody = msgspec.field(default_factory=FlowRunPolicyBody)
    tags: list[str] = msgspec.field(default_factory=list)
    labels: Labels | None = msgspec.field(default_factory=dict)
    idempotency_key: str | None = None
    work_pool_name: str | None = None
    work_queue_name: str | None = None
    job_variables: dict[str, Raw] | None = None
    deployment_id: UUID | None = None


class FlowRunUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH /flow_runs/{id}`: only the keys that are there are written."""

    name: str | UnsetType | None = UNSET
    flow_version: str | UnsetType | None = UNSET
    parameters: dict[str, Raw] | UnsetType = UNSET
    empirical_policy: FlowRunPolicyBody | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    infrastructure_pid: str | UnsetType | None = UNSET
    job_variables: dict[str, Raw] | UnsetType | None = UNSET


class OrchestrationResult(msgspec.Struct):
    """Answer of `set_state`: the state that now holds, the verdict, and why."""

    state: State | None
    status: Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]
    details: dict[str, Any]


class BulkResult(msgspec.Struct):
    """What became of one run of `bulk_set_state`."""

    flow_run_id: str
    status: Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]
    state: State | None
    details: dict[str, Any]


BulkLimit = Annotated[int, Meta(ge=1, le=50)]
