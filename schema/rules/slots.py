"""The arithmetic of slots: what is in use, what fits, and how long a slot is held.

Pure functions of values; moments, `*_at`, are seconds since the Unix epoch. A limit without decay
has in use what its live leases hold, and what was taken without a lease. A limit with decay is a
bucket that leaks: what was poured in drains at `decay_per_s`, fractions kept, whoever holds it.

Source: `prefect.server.models.concurrency_limits_v2`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from lictor.schema.errors import Invalid
from lictor.schema.times import Timestamp
from lictor.schema.wire.concurrency_limits import Mode

TAG_PREFIX = "tag:"
"""How the names of limits on tags begin."""

OCCUPANCY_S = 2.0
"""How long a slot of a new limit is taken to be held."""

OCCUPANCY_S_MIN = 0.1
"""The least that one holding counts in the average."""

SAMPLES_PER_SLOT = 2
"""The average is over about so many holdings for each slot of the limit."""

ROUNDING = 1e-9
"""Decayed amounts are sums of fractions: what is missing by less than this is there."""


class Limit(msgspec.Struct, frozen=True):
    """A limit as the rules see it; `leased_slots` is the sum over its live leases."""

    seq: int
    id: str
    created: Timestamp
    updated: Timestamp
    name: str
    active: bool
    limit: int
    decay_per_s: float
    occupancy_s: float
    loose_slots: float
    loose_at: float
    leased_slots: int

    def occupied(self, now_at: float) -> float:
        """The slots in use at `now_at`; a whole number without decay."""
        if not self.decay_per_s:
            return self.loose_slots + self.leased_slots
        return decayed(self.loose_slots, self.decay_per_s, now_at - self.loose_at)

    def fits(self, slots: int, now_at: float) -> bool:
        """Whether so many more may be taken. An inactive limit holds nobody."""
        return not self.active or self.occupied(now_at) + slots <= self.limit + ROUNDING


class Holding(NamedTuple):
    """What one live lease has of a limit."""

    created_at: float
    expires_at: float | None
    slots: int


def decayed(slots: float, decay_per_s: float, passed_s: float) -> float:
    """What is left of `slots`. A clock that was set back lets nothing decay, nor grow."""
    return max(0.0, slots - decay_per_s * max(0.0, passed_s))


def whole(occupied: float) -> int:
    """The slots in use as they are shown: one that has decayed in part is still in use."""
    return math.ceil(occupied - ROUNDING)


def require_possible(limits: Iterable[Limit], slots: int, mode: Mode) -> None:
    """Refuse what can never be granted.

    Raises:
        Invalid: more slots than a limit has; a rate asked of a limit whose slots do not decay.
    """
    active = [limit for limit in limits if limit.active]
    if any(limit.limit < slots for limit in active):
        raise Invalid("Slots requested is greater than the limit")
    if mode == "rate_limit":
        steady = [limit.name for limit in active if not limit.decay_per_s]
        if steady:
            raise Invalid(
                "Only concurrency limits with slot decay can be used for rate limiting. "
                f"These have none: {', '.join(steady)}."
            )


def full(limits: Sequence[Limit], slots: int, now_at: float) -> list[Limit]:
    """Those of `limits` that have not so many slots left."""
    return [limit for limit in limits if not limit.fits(slots, now_at)]


def after_release(limit: Limit, slots: int, held_s: float, now_at: float) -> float:
    """`loose_slots` at `now_at`, once a lease has given back `slots` after `held_s` seconds.

    Of a limit with decay, a lease has only what cannot have decayed since it was granted: the rest
    is another's by now.
    """
    if not limit.decay_per_s:
        return limit.loose_slots
    left = max(0.0, slots - limit.decay_per_s * held_s)
    return max(0.0, limit.occupied(now_at) - left)


def average_occupancy(limit: Limit, slots: int, held_s: float) -> float:
    """The average time a slot is held, in seconds, after one more holding of `slots` slots."""
    if limit.limit <= 0:
        return limit.occupancy_s
    sample_s = max(held_s / slots, OCCUPANCY_S_MIN)
    return limit.occupancy_s + (sample_s - limit.occupancy_s) / (SAMPLES_PER_SLOT * limit.limit)
