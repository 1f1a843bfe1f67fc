"""Slots of concurrency limits: take and give back, with and without a lease.

Source: `prefect.server.api.concurrency_limits_v2`.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from lictor.actors.ingress.http import Response
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.commands import slots
from lictor.schema.commands.slots import Wanted
from lictor.schema.errors import NotFound
from lictor.schema.rules.slots import Limit
from lictor.schema.tables.leases import Holder
from lictor.schema.wire.concurrency_limits import (
    GiveSlots,
    LeaseGranted,
    LeaseSlots,
    LimitTaken,
    ReleaseLease,
    RenewLease,
    TakeSlots,
)
from lictor.schema.wire.decode import parameter


class Gone(NotFound):
    """410: the lease has ended."""

    status = 410


def locked(retry_after_s: float, body: bytes = b'{"detail":"Locked"}') -> Response:
    """423: all slots are taken; the client sleeps for as long as it is told."""
    header = (b"retry-after", f"{retry_after_s:.6f}".encode())
    return Response(423, body, headers=(header,))


async def take(call: Call[TakeSlots]) -> list[LimitTaken] | Response:
    """Take slots that only `give` gives back: those of rate limits, and of old clients."""
    body = call.body
    answer = await call.services.leases.take(Wanted(body.names, body.slots, body.mode))
    if not isinstance(answer, slots.Taken):
        return locked(answer.retry_after_s)
    return [taken(limit) for limit in answer.limits]


async def give(call: Call[GiveSlots]) -> list[LimitTaken]:
    """Give back slots that were taken without a lease."""
    services, body = call.services, call.body
    job = partial(
        slots.give,
        names=body.names,
        slots=body.slots,
        occupancy_s=body.occupancy_seconds,
        mint=services.mint,
    )
    return [taken(limit) for limit in await services.journal.write(job)]


async def acquire(call: Call[LeaseSlots]) -> LeaseGranted | Response:
    """Take slots of every limit that is named and exists, under one lease; or of none."""
    body = call.body
    holder = None if body.holder is None else Holder(body.holder.type, str(body.holder.id))
    answer = await call.services.leases.acquire(
        Wanted(body.names, body.slots, body.mode, holder, body.lease_duration)
    )
    if not isinstance(answer, slots.Taken):
        return locked(answer.retry_after_s)
    assert answer.lease_id is not None
    return LeaseGranted(answer.lease_id, [taken(limit) for limit in answer.limits])


async def release(call: Call[ReleaseLease]) -> None:
    """Give back what a lease holds; an unknown lease is no error."""
    await call.services.leases.release(str(call.body.lease_id))


async def renew(call: Call[RenewLease]) -> None:
    """Keep a lease for longer."""
    lease_id = str(parameter(("path", "lease_id"), UUID, call.params[0]))
    if not await call.services.leases.renew(lease_id, call.body.lease_duration):
        raise Gone("Lease not found - it may have expired or been revoked")


def taken(limit: Limit) -> LimitTaken:
    """The limit as these answers name it."""
    return LimitTaken(limit.id, limit.name, limit.limit)


_V2 = "/v2/concurrency_limits"

OPERATIONS = (
    Operation(
        "POST", f"{_V2}/increment", take, body=TakeSlots, result=list[LimitTaken],
        optional_body=True,
    ),
    Operation(
        "POST", f"{_V2}/decrement", give, body=GiveSlots, result=list[LimitTaken],
        optional_body=True,
    ),
    Operation(
        "POST", f"{_V2}/increment-with-lease", acquire, body=LeaseSlots, result=LeaseGranted,
        optional_body=True,
    ),
    Operation(
        "POST", f"{_V2}/decrement-with-lease", release, body=ReleaseLease, status=204,
        optional_body=True,
    ),
    Operation(
        "POST", f"{_V2}/leases/{{lease_id:str}}/renew", renew, body=RenewLease, status=204,
        optional_body=True,
    ),
)  # fmt: skip
