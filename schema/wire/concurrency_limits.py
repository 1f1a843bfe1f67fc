"""Concurrency limits and leases on their slots, as the API sends and takes them.

Source: `prefect.server.api.{concurrency_limits_v2,concurrency_limits}`,
`prefect.server.schemas.{core,actions,responses}`.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

NAMES_MAX = 1000
"""Names in one request: each is a look-up on the loop."""

LimitName = Annotated[str, Meta(pattern="^[^/%&><]+$")]
NotNegative = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0)]
Slots = Annotated[int, Meta(gt=0)]
Names = Annotated[list[str], Meta(min_length=1, max_length=NAMES_MAX)]
LeaseSeconds = Annotated[float, Meta(ge=60, le=86_400)]
Mode = Literal["concurrency", "rate_limit"]
HolderType = Literal["flow_run", "task_run", "deployment"]


class LimitAnswer(msgspec.Struct):
    """A limit as it is read: `active_slots` after decay, whole."""

    id: str
    created: str
    updated: str
    active: bool
    name: str
    limit: int
    active_slots: int
    slot_decay_per_second: float


class LimitCreated(msgspec.Struct):
    """Answer of `POST /v2/concurrency_limits/`."""

    id: str
    created: str
    updated: str
    active: bool
    name: str
    limit: int
    active_slots: int
    denied_slots: int
    slot_decay_per_second: float
    avg_slot_occupancy_seconds: float


class LimitCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v2/concurrency_limits/`.

    `denied_slots` is answered and not kept: whom lictor has refused, it knows better.
    """

    name: LimitName
    limit: NotNegative
    active: bool = True
    active_slots: NotNegative = 0
    denied_slots: NotNegative = 0
    slot_decay_per_second: Rate = 0.0


class LimitUpdate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `PATCH /v2/concurrency_limits/{id_or_name}`: only the keys that are there count."""

    active: bool | UnsetType | None = UNSET
    name: LimitName | UnsetType | None = UNSET
    limit: NotNegative | UnsetType | None = UNSET
    active_slots: NotNegative | UnsetType | None = UNSET
    denied_slots: NotNegative | UnsetType | None = UNSET
    slot_decay_per_second: Rate | UnsetType | None = UNSET


class LimitSearch(msgspec.Struct, kw_only=True):
    """Body of `POST /v2/concurrency_limits/filter` and `POST /concurrency_limits/filter`."""

    limit: int | None = None
    offset: NotNegative = 0


class LeaseHolder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Who holds a lease."""

    type: HolderType
    id: UUID


class WantedSlots(msgspec.Struct, kw_only=True):
    """What is to be taken: slots of each of the limits."""

    slots: Slots
    names: Names
    mode: Mode = "concurrency"


class TakeSlots(WantedSlots, kw_only=True):
    """Body of `POST /v2/concurrency_limits/increment`. Limits are no longer made on the way, and
    `create_if_missing` is without effect.
    """

    create_if_missing: bool | None = None


class LeaseSlots(WantedSlots, kw_only=True):
    """Body of `POST /v2/concurrency_limits/increment-with-lease`."""

    lease_duration: LeaseSeconds = 300.0
    holder: LeaseHolder | None = None


class GiveSlots(msgspec.Struct, kw_only=True):
    """Body of `POST /v2/concurrency_limits/decrement`; see `TakeSlots` on `create_if_missing`."""

    slots: Slots
    names: Names
    occupancy_seconds: Annotated[float, Meta(gt=0)] | None = None
    create_if_missing: bool | None = None


class LimitTaken(msgspec.Struct):
    """One limit that slots were taken of, or given back to."""

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


class TagLimit(msgspec.Struct):
    """A limit on a tag as the first version of the API sends it; `active_slots` are task runs."""

    id: str
    created: str
    updated: str
    tag: str
    concurrency_limit: int
    active_slots: list[str]


class TagLimitCreate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /concurrency_limits/`. An empty tag makes a name too: `tag:`."""

    tag: Annotated[str, Meta(pattern="^[^/%&><]*$")]
    concurrency_limit: int


class TagLimitReset(msgspec.Struct, kw_only=True):
    """Body of `POST /concurrency_limits/tag/{tag}/reset`: the task runs that hold slots."""

    slot_override: list[UUID] | None = None


class TagSlots(msgspec.Struct, kw_only=True):
    """Body of `POST /concurrency_limits/increment` and `.../decrement`."""

    names: Annotated[list[str], Meta(max_length=NAMES_MAX)]
    task_run_id: UUID
