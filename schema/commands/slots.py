"""Taking and giving back slots, in a transaction: the only writer of what is in use.

Every slot belongs to one lease, or to none; it is given back when its lease ends, once: by its
holder, by expiry, by a transition of its run or by the deletion of either.

Source: `prefect.server.api.concurrency_limits_v2`, `prefect.server.services.repossessor`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from lictor.schema.backends.tx import ReadTx, Tx
from lictor.schema.mint import Mint
from lictor.schema.rules import slots as arithmetic
from lictor.schema.rules.slots import Limit
from lictor.schema.tables import leases
from lictor.schema.tables import limits as table
from lictor.schema.tables.leases import Holder
from lictor.schema.times import epoch_s
from lictor.schema.wire.concurrency_limits import Mode

EXPIRED_MAX = 100
"""Leases ended in one transaction."""


class Wanted(NamedTuple):
    """What a caller asks for. With `duration_s` None the lease holds until it is released."""

    names: Sequence[str]
    slots: int
    mode: Mode = "concurrency"
    holder: Holder | None = None
    duration_s: float | None = None


class Taken(NamedTuple):
    """Slots taken of `limits`, under the lease `lease_id` if there is one."""

    limits: list[Limit]
    lease_id: str | None


def acquire(tx: Tx, wanted: Wanted, mint: Mint) -> Taken | None:
    """Take slots of every limit that exists and is active, under a lease over all that exist.

    All or nothing: None when one of them has not so many left.

    Raises:
        Invalid: it can never be granted.
    """
    limits, now_at = table.read_named(tx, wanted.names), epoch_s(mint.now())
    arithmetic.require_possible(limits, wanted.slots, wanted.mode)
    if arithmetic.full(limits, wanted.slots, now_at):
        return None
    return Taken(limits, lease(tx, limits, wanted, mint, now_at))


def lease(tx: Tx, limits: Iterable[Limit], wanted: Wanted, mint: Mint, now_at: float) -> str:
    """Take slots under a new lease, whether or not they are free; its id."""
    id_ = mint.id()
    shares = []
    for limit in limits:
        shares.append((limit.seq, wanted.slots if limit.active else 0))
        if limit.active and limit.decay_per_s:
            table.set_loose(tx, limit.seq, limit.occupied(now_at) + wanted.slots, now_at)
    leases.insert(tx, id_, now_at, wanted.duration_s, wanted.holder, shares)
    return id_


def take(tx: Tx, wanted: Wanted, mint: Mint) -> Taken | None:
    """Take slots without a lease: nothing but `give` or an operator gives them back.

    Raises:
        Invalid: it can never be granted.
    """
    limits, now_at = table.read_named(tx, wanted.names), epoch_s(mint.now())
    arithmetic.require_possible(limits, wanted.slots, wanted.mode)
    if arithmetic.full(limits, wanted.slots, now_at):
        return None
    for limit in limits:
        if limit.active:
            in_use = limit.occupied(now_at) if limit.decay_per_s else limit.loose_slots
            table.set_loose(tx, limit.seq, in_use + wanted.slots, now_at)
    return Taken(limits, None)


def give(
    tx: Tx, names: Iterable[str], slots: int, occupancy_s: float | None, mint: Mint
) -> list[Limit]:
    """Give back slots that were taken without a lease; those of leases stay. The limits found."""
    limits, now_at = table.read_named(tx, names), epoch_s(mint.now())
    for limit in limits:
        if not limit.active:
            continue
        in_use = limit.occupied(now_at) if limit.decay_per_s else limit.loose_slots
        table.set_loose(tx, limit.seq, max(0.0, in_use - slots), now_at)
        if occupancy_s is not None:
            average_s = arithmetic.average_occupancy(limit, slots, occupancy_s)
            table.set_occupancy(tx, limit.seq, average_s)
    return limits


def release(tx: Tx, lease_id: str, now_at: float) -> bool:
    """End a lease: its slots are free. False, and nothing changes, if there is none."""
    ended = leases.delete(tx, lease_id)
    if ended is None:
        return False
    held_s = max(0.0, now_at - ended.created_at)
    for limit, slots in ended.shares:
        if not slots:
            continue
        if limit.decay_per_s:
            left = arithmetic.after_release(limit, slots, held_s, now_at)
            table.set_loose(tx, limit.seq, left, now_at)
        table.set_occupancy(tx, limit.seq, arithmetic.average_occupancy(limit, slots, held_s))
    return True


def release_expired(tx: Tx, now_at: float) -> int:
    """End leases that nobody has renewed in time, at most `EXPIRED_MAX`; how many there were."""
    expired = leases.expired(tx, now_at, EXPIRED_MAX)
    for lease_id in expired:
        release(tx, lease_id, now_at)
    return len(expired)


def release_held(tx: Tx, holder_id: str, names: Collection[str], now_at: float) -> None:
    """End every lease of `holder_id` that is over one of these limits, wholly."""
    for lease_id in held(tx, holder_id, names):
        release(tx, lease_id, now_at)


def held(tx: ReadTx, holder_id: str, names: Collection[str]) -> set[str]:
    """The leases of `holder_id` that are over one of these limits."""
    return {lease_id for lease_id, name in leases.of_holder(tx, holder_id) if name in names}


def give_tags(tx: Tx, holder_id: str, names: Collection[str], mint: Mint) -> list[Limit]:
    """End the leases of `holder_id` on the limits called `names`; those of them that exist."""
    release_held(tx, holder_id, names, epoch_s(mint.now()))
    return table.read_named(tx, names)
