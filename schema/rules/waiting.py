"""When a caller that was refused slots should come again: so that it finds some, and in its turn.

Theory. The client sleeps for exactly the seconds it is told, then asks again; nothing can wake it.
So the answer is the whole of the queue. `wait_s` foresees when enough slots will have been given
back: each lease is expected to last as long as slots of its limit do on average, one that has
lasted longer for an eighth of its age more, none longer than to its expiry. `Waiters` remembers who
was refused and for when it was called, so that each is told the time of its own turn, and so that
one who comes in between, such as a process that gives back a slot and at once asks for the next,
does not take what an earlier caller is about to fetch.

A place is kept for those alone that come when they are called, and no longer than a tenth of the
time that a slot is held. A place is forgotten when its caller does not come; nobody waits on the
dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from lictor.schema.rules.slots import Holding, Limit

WAIT_S_MIN = 0.05
"""Nobody is called back sooner: asking costs both sides a request."""

OVERDUE_SHARE = 0.125
"""How much longer, in parts of its age, a lease is expected to last that has lasted too long."""

PATIENCE_S = 1.0
"""Nobody is sent away for longer than it has waited already, or this: should the slots be held for
less than on average, nobody sleeps beside a free one, and to ask twice as rarely each time is
cheap."""

CLOCK_S = 0.001
"""Added to the wait for a decaying limit, whose end is known exactly."""

KEPT_SHARE = 0.1
KEPT_S_MIN = 0.05
KEPT_S_MAX = 1.0
"""How long before and after it was called a caller's place is kept: a part of the time that a slot
is held, within these seconds."""

FORGOTTEN_S = 5.0
"""How long after it was called a caller still counts as waiting."""

HOLDINGS_MAX = 64
"""Leases to look at: those beyond are the youngest, and of slots so many that it matters little."""

PLACES_MAX = 256
LIMITS_MAX = 1024
"""Callers remembered for each limit, and limits; further ones wait without a place."""


def wait_s(
    limit: Limit, holdings: Sequence[Holding], slots: int, ahead: int, now_at: float
) -> float:
    """Seconds until `slots` are expected to be free, after `ahead` slots for earlier callers.

    `now_at` is in Unix seconds. `holdings` are leases on the limit, the oldest first; those left
    out, and slots taken without a lease, are expected to last the average time.
    """
    needed = limit.occupied(now_at) + slots - limit.limit
    if limit.decay_per_s:
        return max((needed + ahead) / limit.decay_per_s + CLOCK_S, WAIT_S_MIN)
    ends = sorted((_remaining_s(holding, limit, now_at), holding.slots) for holding in holdings)
    return _until_freed(needed + ahead, ends, limit)


def _until_freed(needed: float, ends: Sequence[tuple[float, int]], limit: Limit) -> float:
    """Seconds until `needed` slots are expected to have been given back; `ends` of leases."""
    if needed <= 0:
        return WAIT_S_MIN
    for remaining_s, slots in ends:
        needed -= slots
        if needed <= 0:
            return remaining_s
    last_s = ends[-1][0] if ends else 0.0
    return last_s + max(needed * limit.occupancy_s / max(limit.limit, 1), WAIT_S_MIN)


def _remaining_s(holding: Holding, limit: Limit, now_at: float) -> float:
    """Seconds that a lease is expected to last from now on. (Once for each lease, at each refusal:
    hence spelt out.)"""
    created_at, expires_at, slots = holding
    age_s = now_at - created_at
    if age_s < 0:
        age_s = 0.0
    remaining_s = limit.occupancy_s * slots - age_s
    overdue_s = age_s * OVERDUE_SHARE
    if remaining_s < overdue_s:
        remaining_s = overdue_s
    if expires_at is not None and expires_at - now_at < remaining_s:
        remaining_s = expires_at - now_at
    return remaining_s if remaining_s > WAIT_S_MIN else WAIT_S_MIN


class _Place(msgspec.Struct):
    """A caller's place: how many slots it wants, since when, and the second it is called for.

    `is_prompt`: it has not come before it was called.
    """

    slots: int
    since_s: float
    called_s: float
    is_prompt: bool = True


Who = str | None
"""The holder that a caller names. Callers that name none cannot be told apart: whoever of them
comes is taken for the one that was called first."""


class Waiters:
    """Who was refused slots of which limit, in the order of their first refusals.

    Seconds are of one monotonic clock.
    """

    def __init__(self, *, places_max: int = PLACES_MAX, limits_max: int = LIMITS_MAX) -> None:
        self._places_max = places_max
        self._limits_max = limits_max
        self._queues: dict[str, dict[Who | int, _Place]] = {}
        self._strangers = 0

    def ahead(self, limit_id: str, who: Who, now_s: float) -> int:
        """The slots that earlier callers wait for."""
        queue = self._queue(limit_id, now_s)
        own = _find(queue, who, now_s)
        return sum(place.slots for place in _before(queue, own))

    def kept(self, limit: Limit, who: Who, now_s: float) -> int:
        """The slots that earlier callers are about to fetch, and that are theirs for so long."""
        queue = self._queue(limit.id, now_s)
        if not queue:
            return 0
        kept_s = min(max(limit.occupancy_s * KEPT_SHARE, KEPT_S_MIN), KEPT_S_MAX)
        own = _find(queue, who, now_s)
        return sum(
            place.slots
            for place in _before(queue, own)
            if place.is_prompt and abs(place.called_s - now_s) <= kept_s
        )

    def patience_s(self, limit_id: str, who: Who, now_s: float) -> float:
        """How long a caller may be sent away at most."""
        queue = self._queue(limit_id, now_s)
        own = _find(queue, who, now_s)
        return PATIENCE_S if own is None else max(now_s - queue[own].since_s, PATIENCE_S)

    def refused(self, limit_id: str, who: Who, slots: int, now_s: float, wait_s: float) -> None:
        """The caller was told to come again in `wait_s`; it keeps the place it has."""
        if limit_id not in self._queues and len(self._queues) >= self._limits_max:
            return
        queue = self._queues.setdefault(limit_id, {})
        own = _find(queue, who, now_s)
        if own is not None:
            place = queue[own]
            place.is_prompt = place.is_prompt and now_s >= place.called_s - KEPT_S_MIN
            place.slots, place.called_s = slots, now_s + wait_s
        elif len(queue) < self._places_max:
            self._strangers += 1
            key = self._strangers if who is None else who
            queue[key] = _Place(slots, now_s, now_s + wait_s)

    def served(self, limit_id: str, who: Who, now_s: float) -> None:
        """The caller has its slots: it waits no longer."""
        queue = self._queues.get(limit_id)
        if queue is None:
            return
        own = _find(queue, who, now_s)
        if own is not None:
            del queue[own]
        if not queue:
            del self._queues[limit_id]

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def _queue(self, limit_id: str, now_s: float) -> dict[Who | int, _Place]:
        """The callers waiting for a limit, without those that have not come when called."""
        queue = self._queues.get(limit_id)
        if queue is None:
            return {}
        gone = [who for who, place in queue.items() if place.called_s + FORGOTTEN_S < now_s]
        for who in gone:
            del queue[who]
        if not queue:
            del self._queues[limit_id]
        return queue

    def forget_gone(self, now_s: float) -> None:
        """Let go of the callers, of every limit, that have not come when called."""
        for limit_id in list(self._queues):
            self._queue(limit_id, now_s)


def _find(queue: dict[Who | int, _Place], who: Who, now_s: float) -> Who | int:
    """The key of a caller's place; None if it has none."""
    if who is not None:
        return who if who in queue else None
    called = [
        (place.called_s, key)
        for key, place in queue.items()
        if isinstance(key, int) and place.called_s <= now_s + KEPT_S_MIN
    ]
    return min(called)[1] if called else None


def _before(queue: dict[Who | int, _Place], own: Who | int) -> Iterable[_Place]:
    """The places before that of `own`; all, if it has none."""
    for key, place in queue.items():
        if key == own and own is not None:
            return
        yield place
