"""Flows as the API sends and takes them.

Source: `prefect.server.schemas.core.Flow`, `FlowCreate` and `FlowUpdate` of
`prefect.server.schemas.actions`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from lictor.schema.filters.flows import FlowFilter
from lictor.schema.wire.flow_runs import BulkLimit, Labels

FlowName = Annotated[str, Meta(pattern="^[^/%&><]+$")]
"""Not empty, and without the characters that Prefect keeps out of names."""


class Flow(msgspec.Struct):
    """A flow as every answer carries it."""

    id: str
    created: str
    updated: str
    name: str
    tags: Raw
    labels: Raw


class FlowCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /flows/`. Labels that are null stay null."""

    name: FlowName
    tags: list[str] = msgspec.field(default_factory=list)
    labels: Labels | None = msgspec.field(default_factory=dict)


class FlowUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH /flows/{id}`: only the keys that are there are written."""

    tags: list[str] | UnsetType = UNSET


class FlowBulkDelete(msgspec.Struct, kw_only=True):
    """Body of `POST /flows/bulk_delete`."""

    flows: FlowFilter | None = None
    limit: BulkLimit | None = None


class FlowsDeleted(msgspec.Struct):
    """Answer of `POST /flows/bulk_delete`."""

    deleted: list[str]
