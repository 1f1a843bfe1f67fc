"""Work pools as the API sends and takes them.

Source: `prefect.server.schemas.responses.WorkPoolResponse`, `WorkPoolCreate` and `WorkPoolUpdate`
of `prefect.server.schemas.actions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType, structs

from lictor.schema.filters.work_pools import WorkPoolFilter
from lictor.schema.rules import job_templates
from lictor.schema.rules.work_status import AGENT, Status
from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.work_queues import Limit, Offset, PageNumber, SlotHolder, WorkName

BLANKS = "' \""
"""Characters that make no name by themselves."""


class WorkPool(msgspec.Struct, frozen=True):
    """A work pool as every answer carries it. `active_slots` is null without a limit."""

    id: str
    created: str
    updated: str
    name: str
    description: str | None
    type: str
    base_job_template: Raw
    is_paused: bool
    concurrency_limit: int | None
    status: Status | None
    default_queue_id: str
    storage_configuration: Raw
    active_slots: int | None


class StorageConfiguration(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where bundles and results of a pool's runs are kept."""

    bundle_upload_step: dict[str, Any] | None = None
    bundle_execution_step: dict[str, Any] | None = None
    default_result_storage_block_id: UUID | None = None


class WorkPoolCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /work_pools/`."""

    name: WorkName
    description: str | None = None
    type: str = AGENT
    base_job_template: dict[str, Any] = msgspec.field(default_factory=dict)
    is_paused: bool = False
    concurrency_limit: Limit | None = None
    storage_configuration: StorageConfiguration = msgspec.field(
        default_factory=StorageConfiguration
    )

    @classmethod
    def field_faults(cls, fields: Mapping[str, Any]) -> Iterator[Fault]:
        """What is wrong with fields that are of their types."""
        if not fields.get("name", "x").strip(BLANKS):
            yield Fault("Value error, name cannot be an empty string", at=("name",))
        yield from _template_faults(fields)

    def __post_init__(self) -> None:
        for fault in self.field_faults(structs.asdict(self)):
            raise fault


class WorkPoolUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH /work_pools/{name}`: only the keys that are there are written."""

    description: str | UnsetType | None = UNSET
    is_paused: bool | UnsetType | None = UNSET
    base_job_template: dict[str, Any] | UnsetType | None = UNSET
    concurrency_limit: Limit | UnsetType | None = UNSET
    storage_configuration: StorageConfiguration | UnsetType | None = UNSET

    @classmethod
    def field_faults(cls, fields: Mapping[str, Any]) -> Iterator[Fault]:
        """What is wrong with fields that are of their types."""
        return _template_faults(fields)

    def __post_init__(self) -> None:
        for fault in self.field_faults(structs.asdict(self)):
            raise fault


def _template_faults(fields: Mapping[str, Any]) -> Iterator[Fault]:
    template = fields.get("base_job_template")
    fault = job_templates.fault(template) if isinstance(template, dict) else None
    if fault is not None:
        yield Fault(f"Value error, {fault}", at=("base_job_template",))


class WorkPoolSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /work_pools/filter`."""

    work_pools: WorkPoolFilter | None = None
    limit: int | None = None
    offset: Offset = 0


class WorkPoolCount(msgspec.Struct, kw_only=True):
    """Body of `POST /work_pools/count`."""

    work_pools: WorkPoolFilter | None = None


class WorkPoolSlotsQuery(msgspec.Struct, kw_only=True):
    """Body of `POST /work_pools/{name}/concurrency_status`."""

    page: PageNumber = 1
    limit: int | None = None
    flow_run_limit: Annotated[int, Meta(ge=0, le=200)] = 10


class QueueSlots(msgspec.Struct):
    """A queue of a pool with the runs that take its slots, the first few of them."""

    queue_id: str
    queue_name: str
    active_slots: int
    concurrency_limit: int | None
    flow_runs: list[SlotHolder]
    flow_run_count: int


class WorkPoolSlots(msgspec.Struct):
    """Answer of `POST /work_pools/{name}/concurrency_status`: a page of the pool's queues."""

    active_slots: int
    concurrency_limit: int | None
    queues: list[QueueSlots]
    count: int
    limit: int
    pages: int
    page: int
