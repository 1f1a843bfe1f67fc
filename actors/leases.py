"""Lease manager: grants, renews and releases leases on slots, and ends those nobody renews.

Owns    the queue of callers that were refused (`schema/rules/waiting.py`), in memory: after a
        restart everybody is a newcomer once.
Serves  `acquire`, `take`, `renew`, `release`, each decided in one transaction. A refusal is read
        off the last commit and costs no transaction; neither does a lease over no limit at all,
        which every tagged task asks for: its id alone says what it is, and nothing is stored.
Timer   sleeps until the next lease ends, by the table's index of expiries, and looks at the clocks
        at least every `LOOK_S` seconds, which no lease is shorter than.
Fails   a failed commit is refused to its caller; the ending of leases is tried until it succeeds.

Theory: a holder renews when three quarters of its lease are over. If lictor was not there to be
asked, because it was down, or because the machine stood still, or if the wall clock was moved, no
lease can be held against its holder: each runs for its whole length once more, and then ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import trio

from lictor.actors.journal import Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema import times
from lictor.schema.backends.tx import Tx
from lictor.schema.commands import slots as commands
from lictor.schema.commands.slots import Taken, Wanted
from lictor.schema.errors import Unavailable
from lictor.schema.mint import Mint
from lictor.schema.rules import slots as arithmetic
from lictor.schema.rules import waiting
from lictor.schema.rules.slots import TAG_PREFIX, Limit
from lictor.schema.tables import leases, limits

T = TypeVar("T")

LOOK_S = 15.0
"""Less than the shortest lease, 30 s: so no new lease can end before the next look."""

JUMP_S = 5.0
"""The clocks have parted when they disagree by more about the time since the last look."""

SLEEP_S_MIN = 0.001
"""A sleep that ends just before the lease, by rounding, is not followed by none at all."""

RETRY_S = 1.0
"""Between two tries to end leases on a disk that refuses."""

JITTER = 0.1
"""Waits are drawn out by up to this part, so that none comes just before the slot is free."""

EMPTY_LEASE = "00000000-0000-8000-8"
"""How the id of a lease over nothing begins: a UUID of version 8 (RFC 9562 section 5.8)."""


class Full:
    """Refused: no slots are left of `limits`; `retry_after_s` is when to come again."""

    __slots__ = ("limits", "retry_after_s")

    def __init__(self, limits: Sequence[Limit], retry_after_s: float) -> None:
        self.limits = limits
        self.retry_after_s = retry_after_s


class LeaseManager:
    """See the module's head."""

    def __init__(self, journal: Journal, readers: Readers, mint: Mint, settings: Settings) -> None:
        self._journal = journal
        self._readers = readers
        self._mint = mint
        self._settings = settings
        self._closing = trio.Event()
        self._freeing: Counter[str] = Counter()
        """Slots, by limit, whose release is under way."""
        self._hoping: Counter[str] = Counter()
        """Slots, by limit, of requests under way that count on those."""
        self.waiters = waiting.Waiters()

    async def acquire(self, wanted: Wanted) -> Taken | Full:
        """Slots of all limits that exist under one lease, or the reason to wait.

        Raises:
            Invalid: it can never be granted.
            Unavailable: the disk refused.
        """
        found = self._look(wanted)
        if isinstance(found, Full):
            return found
        if not found:
            return Taken([], self._empty_lease())
        return await self._decide(commands.acquire, wanted, found)

    async def take(self, wanted: Wanted) -> Taken | Full:
        """Slots without a lease, or the reason to wait. Raises as `acquire` does."""
        found = self._look(wanted)
        if isinstance(found, Full):
            return found
        if not found:
            return Taken([], None)
        return await self._decide(commands.take, wanted, found)

    async def renew(self, lease_id: str, duration_s: float) -> bool:
        """Let a lease end `duration_s` seconds from now; False if there is none any more."""
        if lease_id.startswith(EMPTY_LEASE):
            return True
        return await self._journal.write(
            lambda tx: leases.renew(tx, lease_id, duration_s, self._now_at())
        )

    async def release(self, lease_id: str) -> bool:
        """End a lease; False, and nothing changes, if there is none."""
        if lease_id.startswith(EMPTY_LEASE):
            return True
        shares = self._readers.inline(partial(leases.shares, id_=lease_id))
        self._freeing.update(dict(shares))
        try:
            return await self._journal.write(
                lambda tx: commands.release(tx, lease_id, self._now_at())
            )
        finally:
            _take_back(self._freeing, shares)

    def _look(self, wanted: Wanted) -> list[Limit] | Full:
        """The limits of a request, as last committed; or the refusal, when they have no slots.

        A slot whose release is on its way to the disk is as good as free: a request that counts on
        it is decided after the release, often in the same commit.
        """
        found = self._readers.inline(partial(limits.read_named, names=wanted.names))
        if not found:
            return found
        arithmetic.require_possible(found, wanted.slots, wanted.mode)
        now_at, now_s, who = self._now_at(), trio.current_time(), _who(wanted)
        for limit in found:
            slots = wanted.slots + self.waiters.kept(limit, who, now_s)
            freed = self._freeing[limit.id] - self._hoping[limit.id]
            if not limit.fits(slots, now_at) and not limit.fits(slots - freed, now_at):
                return self._refuse(wanted, found)
        return found

    async def _decide(
        self,
        command: Callable[[Tx, Wanted, Mint], Taken | None],
        wanted: Wanted,
        found: Sequence[Limit],
    ) -> Taken | Full:
        """Have a request decided in its transaction."""
        hopes = [(limit.id, wanted.slots) for limit in found if self._freeing[limit.id]]
        self._hoping.update(dict(hopes))
        try:
            taken = await self._journal.write(lambda tx: command(tx, wanted, self._mint))
        finally:
            _take_back(self._hoping, hopes)
        if taken is None:
            found = self._readers.inline(partial(limits.read_named, names=wanted.names))
            return self._refuse(wanted, found)
        now_s, who = trio.current_time(), _who(wanted)
        for limit in taken.limits:
            self.waiters.served(limit.id, who, now_s)
        return taken

    def _refuse(self, wanted: Wanted, found: Sequence[Limit]) -> Full:
        """Give the caller its place in the queue of each limit that stands in its way."""
        now_at, now_s, who = self._now_at(), trio.current_time(), _who(wanted)
        waits: dict[str, float] = {}
        for limit in found:
            ahead = self.waiters.ahead(limit.id, who, now_s)
            if limit.fits(wanted.slots + ahead, now_at):
                continue
            holdings = self._readers.inline(
                partial(leases.holdings, limit_seq=limit.seq, most=waiting.HOLDINGS_MAX)
            )
            wait_s = waiting.wait_s(limit, holdings, wanted.slots, ahead, now_at)
            patience_s = self.waiters.patience_s(limit.id, who, now_s)
            waits[limit.id] = self._bounded(limit, wait_s, patience_s)
        wait_s = max(waits.values(), default=waiting.WAIT_S_MIN)
        for limit_id in waits:
            self.waiters.refused(limit_id, who, wanted.slots, now_s, wait_s)
        return Full(found, wait_s)

    def _bounded(self, limit: Limit, wait_s: float, patience_s: float) -> float:
        """The wait with its jitter, and within the longest; decay is exact and waited out."""
        if limit.decay_per_s:
            return wait_s
        is_tag = limit.name.startswith(TAG_PREFIX)
        settings = self._settings
        longest_s = settings.tag_slot_wait_max_s if is_tag else settings.slot_wait_max_s
        wait_s *= 1 + JITTER * self._mint.random.random()
        return min(wait_s, patience_s, longest_s)

    def _empty_lease(self) -> str:
        digits = f"{self._mint.random.getrandbits(60):015x}"
        return f"{EMPTY_LEASE}{digits[:3]}-{digits[3:]}"

    # Ending leases

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `close`."""
        task_status.started()
        await self._grant_grace("start")
        while not self._closing.is_set():
            wall_s, monotonic_s = self._now_at(), trio.current_time()
            with trio.move_on_after(self._until_next(wall_s)):
                await self._closing.wait()
            passed_s = trio.current_time() - monotonic_s
            if abs(self._now_at() - wall_s - passed_s) > JUMP_S:
                await self._grant_grace("jump")
            await self._end_expired()
            self.waiters.forget_gone(trio.current_time())

    def close(self) -> None:
        """End no more leases; requests are served for as long as they come."""
        self._closing.set()

    def _until_next(self, now_at: float) -> float:
        """Seconds to sleep."""
        expires_at = self._next_expiry()
        if expires_at is None:
            return LOOK_S
        return min(max(expires_at - now_at, SLEEP_S_MIN), LOOK_S)

    async def _end_expired(self) -> None:
        """End the leases that are over, some at a time."""
        while not self._closing.is_set():
            now_at, expires_at = self._now_at(), self._next_expiry()
            if expires_at is None or expires_at > now_at:
                return
            ended = await self._persist(partial(commands.release_expired, now_at=now_at))
            observe("lictor.leases.expired.end", leases=ended)

    async def _grant_grace(self, reason: str) -> None:
        """Nobody could renew, or the clock has moved: every lease runs its whole length anew."""
        if self._next_expiry() is not None:
            await self._persist(lambda tx: leases.grant_grace(tx, self._now_at()))
            observe("lictor.leases.grace.grant", reason=reason)

    async def _persist(self, job: Callable[[Tx], T]) -> T | None:
        """Write until the disk takes it; None when lictor stops before."""
        while not self._closing.is_set():
            try:
                return await self._journal.write(job)
            except Unavailable as error:
                observe("lictor.leases.commit.refuse", reason=error.reason)
            with trio.move_on_after(RETRY_S):
                await self._closing.wait()
        return None

    def _next_expiry(self) -> float | None:
        return self._readers.inline(leases.next_expiry)

    def _now_at(self) -> float:
        """This moment by the wall clock, in seconds since the Unix epoch."""
        return times.epoch_s(self._mint.now())


def _take_back(counts: Counter[str], numbers: Iterable[tuple[str, int]]) -> None:
    """Subtract, and forget what has come to nothing."""
    for key, number in numbers:
        counts[key] -= number
        if not counts[key]:
            del counts[key]


def _who(wanted: Wanted) -> str | None:
    return None if wanted.holder is None else wanted.holder.id
