"""Clean-up queue: hands clean-up messages to the workers that are connected and can carry them out.

Owns    which workers take messages, and what is reserved for them and not sent yet. The queue and
        its reservations are the table `cleanup_message`; every look at it is fresh.
Serves  `join(taker)`: a worker's lane; its `take()` waits for the next message.
Timers  the first lease that ends, by the table's index, but a look at the clock every `LOOK_S`;
        a lane rests `REST_S` after each answer, `REST_RELEASED_S` after a release.
Limits  `UNSENT_MAX` messages for each lane that are not sent yet; `cleanup.RESERVED_MAX` reserved
        and `cleanup.EXPIRED_MAX` leases ended in one job. Lanes are as many as worker channels.
Fails   a store that refuses is asked again every `RETRY_S`; meanwhile messages stay where they are.

Theory: reservations are rows with their holder, so what a worker may still have is counted where
it is decided, and is as true after a restart or on another connection. What can let a message go
out is told: a lane that joins, that has sent, or whose worker was answered, and the commit of any
change of the pool's messages. A pool that was stirred so is looked at, and a transaction is begun
only if that look finds a message for a lane with room. The reasons: docs/decisions/cleanup-queue.md
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import NamedTuple

import msgspec
import trio

from lictor.actors.deadlines import DeadlineLoop, Settling
from lictor.actors.journal import GroupFailed, Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.commands import cleanup as commands
from lictor.schema.commands.cleanup import Ask, Claim, CleanupChanged, CleanupDied
from lictor.schema.commands.deadlines import Clock
from lictor.schema.errors import Unavailable
from lictor.schema.mint import Mint
from lictor.schema.tables import cleanup_messages as table
from lictor.schema.tables.cleanup_messages import Holder
from lictor.schema.wire.worker_channel import CleanupKind, CleanupMessage, Operation

UNSENT_MAX = 16
LOOK_S = 15.0
RETRY_S = 1.0
SLEEP_S_MIN = 0.001
"""Below the clock's resolution a sleep is a busy loop."""
REST_S = 0.25
"""A worker frees its own place only some moments after it has read the answer; a message that
comes before is given back as too many, and that costs one of its few deliveries."""
REST_RELEASED_S = 1.0
"""The same after it has given a message back: others go first, and what hindered it may pass."""
_RESTS_S: Mapping[Operation, float] = {"ack": REST_S, "release": REST_RELEASED_S, "renew": 0.0}
DELIVERY_FAILED = "delivery_failed"

_log = logging.getLogger(__name__)


class Taker(NamedTuple):
    """A worker that takes clean-up messages. `work_queue_ids`: the queues that it serves."""

    work_pool_id: str
    holder: Holder
    kinds: tuple[CleanupKind, ...]
    work_queue_ids: tuple[str, ...]
    concurrency: int


class Lane:
    """One connection of a worker, made by `CleanupQueue.join`. `open_at`: moment of trio's clock
    from which it may be given messages."""

    def __init__(self, queue: CleanupQueue, number: int, taker: Taker) -> None:
        self.number = number
        self.taker = taker
        self.open_at = -inf
        self.unsent: deque[CleanupMessage] = deque()
        self._queue = queue
        self._kinds = _json(dict.fromkeys(taker.kinds))
        self._work_queue_ids = _json(taker.work_queue_ids)
        self._has_message = trio.Event()

    async def take(self) -> CleanupMessage:
        """Wait for the next message whose lease is not over. Say `sent` when it is sent."""
        while True:
            while self.unsent:
                if self._queue.is_current(self.unsent[0]):
                    return self.unsent[0]
                self.sent()
            self._has_message = trio.Event()
            await self._has_message.wait()

    def sent(self) -> None:
        """What `take` gave is the worker's now."""
        self.unsent.popleft()
        self._queue.stir(self.taker.work_pool_id)

    def give(self, message: CleanupMessage) -> None:
        """Let `take` have this message after the others."""
        self.unsent.append(message)
        self._has_message.set()

    @contextmanager
    def answering(self, operation: Operation) -> Iterator[None]:
        """Give it nothing while its worker is answered, and for some time after that."""
        open_at, self.open_at = self.open_at, inf
        try:
            yield
        finally:
            self.open_at = max(open_at, trio.current_time() + _RESTS_S[operation])
            self._queue.stir(self.taker.work_pool_id)

    def ask(self) -> Ask:
        """What it can take now."""
        taker, room = self.taker, UNSENT_MAX - len(self.unsent)
        return Ask(
            self.number, taker.holder, self._kinds, self._work_queue_ids, taker.concurrency, room
        )


class CleanupQueue:
    """See the module's head."""

    def __init__(self, journal: Journal, readers: Readers, mint: Mint, settings: Settings) -> None:
        self._journal = journal
        self._readers = readers
        self._mint = mint
        self._settings = settings
        self._newest = 0
        self._lanes: dict[str, dict[int, Lane]] = {}
        self._stirred: dict[str, None] = {}
        self._resting: dict[str, float] = {}
        self._returned: deque[Claim] = deque()
        self._has_stirred = trio.Event()
        self._has_leases = trio.Event()
        journal.subscribe(self._on_commit)

    # What sockets call.

    @contextmanager
    def join(self, taker: Taker) -> Iterator[Lane]:
        """A worker's lane. When it ends, what was not sent goes to others."""
        self._newest += 1
        lane = Lane(self, self._newest, taker)
        lanes = self._lanes.setdefault(taker.work_pool_id, {})
        lanes[lane.number] = lane
        self.stir(taker.work_pool_id)
        try:
            yield lane
        finally:
            del lanes[lane.number]
            if not lanes:
                del self._lanes[taker.work_pool_id]
            self._give_back(taker.work_pool_id, lane.unsent)

    def stir(self, work_pool_id: str) -> None:
        """There may be a message for a lane of this pool, or a lane for a message: look."""
        self._stirred[work_pool_id] = None
        self._has_stirred.set()

    def is_current(self, message: CleanupMessage) -> bool:
        """Whether the lease of a reserved message is not over."""
        return message.lease_expires_at > self._mint.now()

    # The actor's own tasks.

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._dispatch_forever)
            nursery.start_soon(self._expire_forever)

    async def _dispatch_forever(self) -> None:
        while True:
            with trio.move_on_at(min(self._resting.values(), default=inf)):
                await self._has_stirred.wait()
            self._has_stirred = trio.Event()
            now_s = trio.current_time()
            for work_pool_id, open_at in list(self._resting.items()):
                if open_at <= now_s:
                    del self._resting[work_pool_id]
                    self._stirred[work_pool_id] = None
            try:
                await self._release_returned()
                while self._stirred:
                    await self._dispatch(next(iter(self._stirred)))
            except (Unavailable, GroupFailed) as refusal:
                observe("lictor.cleanup.dispatch.error", error=str(refusal))
                self._has_stirred.set()
                await trio.sleep(RETRY_S)

    async def _dispatch(self, work_pool_id: str) -> None:
        """Reserve what there is for the lanes of a pool, and hand it to them."""
        asks = self._asks(work_pool_id)
        if not asks:
            # At once, without a checkpoint: whatever is committed from now on stirs it again.
            del self._stirred[work_pool_id]
            return
        reserved = await self._journal.write(
            partial(
                commands.reserve,
                work_pool_id=work_pool_id,
                asks=asks,
                mint=self._mint,
                settings=self._settings,
            )
        )
        self._stirred[work_pool_id] = self._stirred.pop(work_pool_id)  # other pools go first
        lanes = self._lanes.get(work_pool_id, {})
        for number, message in reserved:
            lane = lanes.pop(number, None)
            if lane is None:
                self._give_back(work_pool_id, [message])
            else:
                lanes[number] = lane  # now the last to be asked
                lane.give(message)
        self._has_leases.set()
        observe("lictor.cleanup.messages.reserve", work_pool=work_pool_id, messages=len(reserved))

    def _asks(self, work_pool_id: str) -> list[Ask]:
        """What the lanes of a pool can take now, if there is a message for any of them."""
        now_s = trio.current_time()
        asks: list[Ask] = []
        for lane in self._lanes.get(work_pool_id, {}).values():
            if lane.unsent and not self.is_current(lane.unsent[0]):
                continue  # its worker reads too slowly: what it is given, nobody does
            if lane.open_at <= now_s:
                asks.append(lane.ask())
            elif lane.open_at < self._resting.get(work_pool_id, inf):
                self._resting[work_pool_id] = lane.open_at
        if not asks:
            return []
        now = self._mint.now()
        return self._readers.inline(
            partial(commands.with_room, work_pool_id=work_pool_id, asks=asks, now=now)
        )

    def _give_back(self, work_pool_id: str, messages: Iterable[CleanupMessage]) -> None:
        for message in messages:
            claim = Claim(work_pool_id, message.message_id, message.reservation_token)
            self._returned.append(claim)
            self._has_stirred.set()

    async def _release_returned(self) -> None:
        while self._returned:
            await self._journal.write(
                partial(
                    commands.operate,
                    operation="release",
                    claim=self._returned[0],
                    mint=self._mint,
                    settings=self._settings,
                    release_reason=DELIVERY_FAILED,
                )
            )
            self._returned.popleft()

    async def _expire_forever(self) -> None:
        """End leases when they end."""
        while True:
            self._has_leases = trio.Event()
            try:
                wait_s = self._readers.inline(
                    partial(commands.seconds_to_expire, mint=self._mint, settings=self._settings)
                )
                if wait_s == 0:
                    expire = partial(commands.expire, mint=self._mint, settings=self._settings)
                    ended = await self._journal.write(expire)
                    observe("lictor.cleanup.leases.expire", leases=ended)
                    continue
            except (Unavailable, GroupFailed) as refusal:
                observe("lictor.cleanup.expire.error", error=str(refusal))
                wait_s = RETRY_S
            sleep_s = inf if wait_s is None else min(max(wait_s, SLEEP_S_MIN), LOOK_S)
            with trio.move_on_after(sleep_s):
                await self._has_leases.wait()

    def _on_commit(self, published: list[object]) -> None:
        for item in published:
            if isinstance(item, CleanupChanged):
                if item.work_pool_id in self._lanes:
                    self.stir(item.work_pool_id)
            elif isinstance(item, CleanupDied):
                message = item.message
                _log.warning(
                    "The clean-up message %s (%s) of work pool %s is given up: %s after %d"
                    " deliveries; the last worker said %r. Its target: %s",
                    message.id,
                    message.kind,
                    message.work_pool_id,
                    item.reason,
                    message.delivery_count,
                    item.release_reason,
                    bytes(message.target).decode(),
                )


def undelivered(journal: Journal, readers: Readers, clock: Clock) -> DeadlineLoop:
    """The loop that gives messages up which no worker has taken for too long."""
    mint = clock.mint
    settle = Settling(
        "undelivered clean-up", journal, lambda tx, id_: commands.give_up(tx, id_, mint)
    )
    lag_s = commands.UNDELIVERED_S
    loop = DeadlineLoop("cleanup_undelivered", table.UNDELIVERED, lag_s, settle, readers, mint)
    _watch(journal, loop)
    return loop


def retention(journal: Journal, readers: Readers, clock: Clock) -> DeadlineLoop:
    """The loop that forgets messages which were over long ago."""
    settle = Settling("clean-up retention", journal, commands.forget)
    lag_s = clock.settings.cleanup_retention_s
    loop = DeadlineLoop("cleanup_retention", table.ENDED, lag_s, settle, readers, clock.mint)
    _watch(journal, loop)
    return loop


def _watch(journal: Journal, loop: DeadlineLoop) -> None:
    loop.touch_after(journal, lambda item: isinstance(item, CleanupChanged))


def _json(names: Iterable[str]) -> str:
    return msgspec.json.encode(list(names)).decode()
