"""Deployments and their schedules as the API sends and takes them.

Source: `DeploymentCreate`, `DeploymentUpdate` and `DeploymentFlowRunCreate` of
`prefect.server.schemas.actions`, `prefect.server.schemas.responses.DeploymentResponse`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from lictor.schema.filters.deployments import DeploymentFilter
from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.concurrency_limits import LimitAnswer
from lictor.schema.wire.flow_runs import BulkLimit, FlowRunPolicyBody, Labels
from lictor.schema.wire.schedules import ScheduleBody
from lictor.schema.wire.states import StateBody

SCHEDULED_RUNS_MAX = 50
"""The most that `max_scheduled_runs` of a schedule may say."""

NameOrEmpty = Annotated[str, Meta(pattern="^[^/%&><]*$")]
PositiveLimit = Annotated[int, Meta(gt=0)]


class ConcurrencyOptions(msgspec.Struct, kw_only=True):
    """What becomes of runs that find the deployment's limit reached."""

    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: Annotated[int, Meta(ge=60, le=86_400)] | None = None


class VersionInfo(msgspec.Struct, kw_only=True):
    """Where the code comes from, as a client found it; checked, and not kept."""

    type: str
    version: str


class ScheduleCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A schedule to make."""

    schedule: ScheduleBody
    active: bool = True
    max_scheduled_runs: PositiveLimit | None = None
    parameters: dict[str, Raw] = msgspec.field(default_factory=dict)
    slug: str | None = None
    replaces: str | None = None

    def __post_init__(self) -> None:
        _check_scheduled_runs(self.max_scheduled_runs)


class ScheduleUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A schedule to change, or to make: what is null stays. `parameters` are always replaced."""

    schedule: ScheduleBody | None = None
    active: bool | None = None
    max_scheduled_runs: PositiveLimit | None = None
    parameters: dict[str, Raw] = msgspec.field(default_factory=dict)
    slug: str | None = None
    replaces: str | None = None

    def __post_init__(self) -> None:
        _check_scheduled_runs(self.max_scheduled_runs)


def _check_scheduled_runs(asked: int | None) -> None:
    if asked is not None and asked > SCHEDULED_RUNS_MAX:
        said = f"`max_scheduled_runs` must be less than or equal to {SCHEDULED_RUNS_MAX}."
        raise Fault(f"Value error, {said}", at=("max_scheduled_runs",))


class DeploymentSchedule(msgspec.Struct):
    """A schedule as every answer carries it."""

    id: str
    created: str
    updated: str
    deployment_id: str
    schedule: Raw
    active: bool
    max_scheduled_runs: int | None
    parameters: Raw
    slug: str | None


class Deployment(msgspec.Struct):
    """A deployment as every answer carries it. `concurrency_limit` is always null."""

    id: str
    created: str
    updated: str
    name: str
    version: str | None
    description: str | None
    flow_id: str
    paused: bool
    schedules: list[DeploymentSchedule]
    concurrency_limit: None
    global_concurrency_limit: LimitAnswer | None
    concurrency_options: Raw | None
    job_variables: Raw
    parameters: Raw
    tags: Raw
    labels: Raw
    work_queue_name: str | None
    work_queue_id: str | None
    last_polled: str | None
    parameter_openapi_schema: Raw
    path: str | None
    pull_steps: Raw
    entrypoint: str | None
    storage_document_id: str | None
    infrastructure_document_id: str | None
    created_by: Raw | None
    updated_by: Raw | None
    work_pool_name: str | None
    status: str
    enforce_parameter_schema: bool


class _Given(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields that creating and changing have in common: only those that are there count.

    An empty schema is one of an object without properties. The last four are those of much older
    clients: taken, and without effect.
    """

    version: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET
    concurrency_limit: PositiveLimit | UnsetType | None = UNSET
    concurrency_options: ConcurrencyOptions | UnsetType | None = UNSET
    global_concurrency_limit_id: UUID | UnsetType | None = UNSET
    parameter_openapi_schema: dict[str, Any] | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    work_queue_name: NameOrEmpty | UnsetType | None = UNSET
    work_pool_name: str | UnsetType | None = UNSET
    path: str | UnsetType | None = UNSET
    pull_steps: list[dict[str, Any]] | UnsetType | None = UNSET
    entrypoint: str | UnsetType | None = UNSET
    storage_document_id: UUID | UnsetType | None = UNSET
    infrastructure_document_id: UUID | UnsetType | None = UNSET
    version_info: VersionInfo | UnsetType | None = UNSET
    worker_pool_queue_id: Any = None
    worker_pool_name: Any = None
    worker_pool_queue_name: Any = None
    work_pool_queue_name: Any = None

    def __post_init__(self) -> None:
        if self.parameter_openapi_schema == {}:
            self.parameter_openapi_schema = {"type": "object", "properties": {}}
        if self.concurrency_limit and self.global_concurrency_limit_id:
            raise ValueError(
                "A deployment cannot have both a concurrency limit and a global concurrency limit."
            )


class DeploymentCreate(_Given, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /deployments/`."""

    name: NameOrEmpty
    flow_id: UUID
    schedules: list[ScheduleCreate] = msgspec.field(default_factory=list)
    enforce_parameter_schema: bool | UnsetType = UNSET
    parameters: dict[str, Raw] = msgspec.field(default_factory=dict)
    labels: Labels | UnsetType | None = UNSET
    job_variables: dict[str, Raw] | UnsetType = UNSET


class DeploymentUpdate(_Given, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH /deployments/{id}`."""

    schedules: list[ScheduleUpdate] | UnsetType = UNSET
    enforce_parameter_schema: bool | UnsetType | None = UNSET
    parameters: dict[str, Any] | UnsetType | None = UNSET
    job_variables: dict[str, Raw] | UnsetType | None = UNSET


class DeploymentFlowRunCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /deployments/{id}/create_flow_run`."""

    state: StateBody | None = None
    name: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    enforce_parameter_schema: bool | None = None
    context: dict[str, Raw] = msgspec.field(default_factory=dict)
    infrastructure_document_id: UUID | None = None
    empirical_policy: FlowRunPolicyBody = msgspec.field(default_factory=FlowRunPolicyBody)
    tags: list[str] = msgspec.field(default_factory=list)
    idempotency_key: str | None = None
    labels: Labels | None = None
    parent_task_run_id: UUID | None = None
    work_queue_name: NameOrEmpty | None = None
    job_variables: dict[str, Any] | None = msgspec.field(default_factory=dict)


class FlowRunCreateResult(msgspec.Struct):
    """What became of one run of `create_flow_run/bulk`."""

    flow_run_id: str | None
    status: Literal["CREATED", "FAILED"]
    error: str | None = None


class FlowRunCreateResults(msgspec.Struct):
    """Answer of `POST /deployments/{id}/create_flow_run/bulk`, in the order of the request."""

    results: list[FlowRunCreateResult]


class DeploymentBulkDelete(msgspec.Struct, kw_only=True):
    """Body of `POST /deployments/bulk_delete`."""

    deployments: DeploymentFilter | None = None
    limit: BulkLimit | None = None


class DeploymentsDeleted(msgspec.Struct):
    """Answer of `POST /deployments/bulk_delete`."""

    deleted: list[str]


class WorkQueueOfDeployment(msgspec.Struct):
    """A work queue as `GET /deployments/{id}/work_queue_check` answers it."""

    id: str
    created: str
    updated: str
    name: str
    description: str | None
    is_paused: bool
    concurrency_limit: int | None
    priority: int
    work_pool_id: str
    filter: Raw | None
    last_polled: str | None
