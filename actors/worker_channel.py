"""Worker channels: tells the workers of a pool what has become of it.

Owns    who is connected to which pool, and which of them are to be told.
Serves  `join(work_pool_id, worker_name)`: a worker's seat; its `take()` waits for the next news.
Timers  news waits `MERGE_S`, so that what changes together is told together.
Limits  `WORKERS_MAX` seats (then refused); each keeps only the newest news.
Fails   a store that cannot be read is asked again every `RETRY_S`; the news waits meanwhile.

Theory: news is only that a pool has changed. What it has become is read when it is told, once for
all its workers; so however often it changes and however slow a worker reads, the worker ends with
the pool as it is. A seat that is joined before the pool is read for its first snapshot misses
nothing: what is committed later is published later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
import trio
from msgspec import Raw

from lictor.actors.journal import Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.schema.commands.work_pools import PoolChanged
from lictor.schema.errors import Unavailable
from lictor.schema.tables import work_pools as table
from lictor.schema.times import Timestamp
from lictor.schema.wire.worker_channel import Snapshot, SnapshotReason

MERGE_S = 0.05
RETRY_S = 1.0
WORKERS_MAX = 4096


class PoolGone(Exception):
    """The pool of a seat has been deleted."""


class _View:
    """A pool as it was read, ready to be sent."""

    __slots__ = ("pool", "updated")

    def __init__(self, pool: Raw, updated: Timestamp) -> None:
        self.pool = pool
        self.updated = updated


_News = tuple[SnapshotReason, _View | None]
"""Why a worker is told, and what: None of a pool that has gone."""


class Seat:
    """One worker's channel, made by `WorkerChannels.join`. `updated` is that of its last news."""

    def __init__(self, work_pool_id: str, first: _View) -> None:
        self.work_pool_id = work_pool_id
        self.updated = first.updated
        self._sequence = 0
        self._news: _News | None = ("initial", first)
        self._has_news = trio.Event()
        self._has_news.set()

    async def take(self) -> Snapshot:
        """Wait for the next snapshot; the first is there at once.

        Raises:
            PoolGone: the pool has been deleted.
        """
        await self._has_news.wait()
        self._has_news = trio.Event()
        assert self._news is not None
        (reason, view), self._news = self._news, None
        if view is None:
            raise PoolGone
        self._sequence += 1
        return Snapshot(self._sequence, reason, view.pool)

    def give(self, news: _News) -> None:
        """Let `take` have this instead of anything older."""
        view = news[1]
        if view is not None:
            self.updated = view.updated
        self._news = news
        self._has_news.set()


class WorkerChannels:
    """See the module's head."""

    def __init__(self, journal: Journal, readers: Readers) -> None:
        self._readers = readers
        self._seats: dict[str, dict[Seat, None]] = {}
        self._count = 0
        self._changed: dict[str, None] = {}
        self._behind: dict[Seat, None] = {}
        self._has_news = trio.Event()
        journal.subscribe(self._on_commit)

    @contextmanager
    def join(self, work_pool_id: str, worker_name: str) -> Iterator[Seat]:
        """A worker's seat until the end of the block.

        Raises:
            PoolGone: there is no such pool.
            Unavailable: too many workers are connected, or the store cannot be read.
        """
        if self._count >= WORKERS_MAX:
            raise Unavailable(f"{WORKERS_MAX} workers are connected; no more are served.")
        view = self._read(work_pool_id)
        if view is None:
            raise PoolGone
        seat = Seat(work_pool_id, view)
        self._seats.setdefault(work_pool_id, {})[seat] = None
        self._count += 1
        observe("lictor.worker_channel.worker.start", work_pool=work_pool_id, worker=worker_name)
        try:
            yield seat
        finally:
            self._count -= 1
            self._behind.pop(seat, None)
            seats = self._seats[work_pool_id]
            del seats[seat]
            if not seats:
                del self._seats[work_pool_id]
            observe("lictor.worker_channel.worker.stop", work_pool=work_pool_id, worker=worker_name)

    def reconcile(self, seat: Seat, updated: Timestamp) -> None:
        """Tell `seat` of its pool again if what it knows is not the pool as of `updated`."""
        if updated != seat.updated:
            self._behind[seat] = None
            self._has_news.set()

    async def run(self) -> None:
        """Tell what has changed, for ever."""
        while True:
            await self._has_news.wait()
            await trio.sleep(MERGE_S)
            self._has_news = trio.Event()
            try:
                self._tell()
            except Unavailable as refusal:
                observe("lictor.worker_channel.snapshot.error", error=refusal.reason)
                self._has_news.set()
                await trio.sleep(RETRY_S)

    def _tell(self) -> None:
        while self._changed:
            work_pool_id = next(iter(self._changed))
            seats = self._seats.get(work_pool_id)
            if seats:
                news: _News = ("work_pool_updated", self._read(work_pool_id))
                for seat in seats:
                    self._behind.pop(seat, None)
                    seat.give(news)
            del self._changed[work_pool_id]
        while self._behind:
            seat = next(iter(self._behind))
            seat.give(("heartbeat_reconciliation", self._read(seat.work_pool_id)))
            del self._behind[seat]

    def _read(self, work_pool_id: str) -> _View | None:
        pool = self._readers.inline(partial(table.read, id_=work_pool_id))
        return None if pool is None else _View(Raw(msgspec.json.encode(pool)), pool.updated)

    def _on_commit(self, published: list[object]) -> None:
        for item in published:
            if isinstance(item, PoolChanged) and item.work_pool_id in self._seats:
                self._changed[item.work_pool_id] = None
                self._has_news.set()
