"""Slots of concurrency limits, taken under a lease.

Source: `prefect.server.api.concurrency_limits_v2`.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

LeaseSeconds = Annotated[float, Meta(ge=60, le=86_400)]


class LeaseHolder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who holds a lease."""

    type: Literal["flow_run", "task_run", "deployment"]
    id: UUID


class AcquireSlots(msgspec.Struct, kw_only=True):
    """Body of `POST /v2/concurrency_limits/increment-with-lease`."""

    slots: Annotated[int, Meta(gt=0)]
    names: Annotated[list[str], Meta(min_length=1)]
    mode: Literal["concurrency", "rate_limit"] = "concurrency"
    lease_duration: LeaseSeconds = 300.0
    holder: LeaseHolder | None = None


class LimitTaken(msgspec.Struct):
    """One limit that a lease holds slots of."""

    id: str
    name: str
    limit: int


class LeaseGranted(msgspec.Struct):
    """A lease, and the limits it is over."""

    lease_id: str
    limits: list[LimitTaken]


class ReleaseLease(msgspec.Struct, kw_only=True):
    """Body of `POST /v2/concurrency_limits/decrement-with-lease`."""

    lease_id: UUID


class RenewLease(msgspec.Struct, kw_only=True):
    """Body of `POST /v2/concurrency_limits/leases/{lease_id}/renew`."""

    lease_duration: LeaseSeconds = 300.0
