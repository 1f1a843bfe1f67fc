"""Leases on the slots of concurrency limits.

Clients acquire slots around every tagged task, whether or not anybody has made a limit for its tags.
There are no limits yet, and names without a limit are ignored: so each lease is one over nothing. It
holds nothing, so nothing about it is stored; its id alone says what it is.

Source: `prefect.server.api.concurrency_limits_v2`.
"""

from __future__ import annotations

from lictor.actors.ingress.http import Response
from lictor.actors.ingress.operations import Call, Operation
from lictor.schema.mint import Mint
from lictor.schema.wire.leases import AcquireSlots, LeaseGranted, ReleaseLease, RenewLease

EMPTY_LEASE = "00000000-0000-8000-8"
"""How the id of a lease over nothing begins: a UUID of version 8 (RFC 9562 section 5.8)."""

_GONE = Response(410, b'{"detail":"Lease not found - it may have expired or been revoked"}')


def empty_lease(mint: Mint) -> str:
    """The id of a new lease over nothing."""
    digits = f"{mint.random.getrandbits(60):015x}"
    return f"{EMPTY_LEASE}{digits[:3]}-{digits[3:]}"


async def acquire(call: Call[AcquireSlots]) -> LeaseGranted:
    """Take slots of every limit that is named and exists: of none."""
    return LeaseGranted(empty_lease(call.services.mint), [])


async def release(call: Call[ReleaseLease]) -> None:
    """Give back what a lease holds; an unknown lease is no error."""


async def renew(call: Call[RenewLease]) -> Response:
    """Keep a lease for longer."""
    return Response(204, b"", b"") if call.params[0].startswith(EMPTY_LEASE) else _GONE


OPERATIONS = (
    Operation(
        "POST",
        "/v2/concurrency_limits/increment-with-lease",
        acquire,
        body=AcquireSlots,
        result=LeaseGranted,
    ),
    Operation(
        "POST",
        "/v2/concurrency_limits/decrement-with-lease",
        release,
        body=ReleaseLease,
        status=204,
    ),
    Operation(
        "POST",
        "/v2/concurrency_limits/leases/{id}/renew",
        renew,
        body=RenewLease,
        status=204,
        optional_body=True,
    ),
)
