"""Task queue: hands background task runs to the task workers that serve them.

Owns    who has which run on its way: delivered and not acknowledged, or acknowledged and not yet
        written down. The queue itself is the table `task_queue`; every look at it is fresh.
Serves  `subscribe(keys, client_id)`: a worker's place; its `take()` waits for the next run.
        `workers(keys)`: who is connected.
Timers  a holder that has left keeps what it acknowledged for `GONE_S`, holders from before a start
        for `task_hold_s`; what has not begun by then goes to others.
Limits  `SUBSCRIBERS_MAX` subscriptions (then 503), each with one run on its way.
Fails   a store that refuses is asked again every `RETRY_S`; meanwhile runs stay where they are.

Theory: a run waits, is on its way to one subscription, is held by it, or has left the queue with
its SCHEDULED state. Only waiting and held are stored. On their way are so few that a delivery asks
the table for the first run besides those, so there is no copy of the queue to keep true. A key
that gave nothing is dry, and is not asked again before the store publishes a run for it or one
comes back; both are told on the loop, so a look never misses what was committed after it.
The reasons: docs/decisions/background-tasks.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec
import trio

from lictor.actors.journal import GroupFailed, Journal
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable
from lictor.schema.mint import Mint
from lictor.schema.tables import task_queue as table
from lictor.schema.tables.task_queue import Changes, DeferredTaskRun, Hold, Place
from lictor.schema.times import parse
from lictor.schema.wire.task_workers import TaskWorker

SUBSCRIBERS_MAX = 1024
GONE_S = 5.0
"""Longer than the reports take that a worker sent on another socket before its end."""
RETRY_S = 1.0
MESSAGE_BYTES_MAX = 1024 * 1024
"""The longest message that Prefect's clients take."""
DRY_KEYS_MAX = 10_000

Holders = tuple[int, int]
"""The lowest and the highest number of some holders."""


class Subscription:
    """One worker's socket, made by `TaskQueue.subscribe`. `number` names it as a holder."""

    def __init__(
        self, queue: TaskQueue, number: int, keys: tuple[str, ...], client_id: str
    ) -> None:
        self.number = number
        self.keys = keys
        self.client_id = client_id
        self.delivered: Place | None = None
        self.has_acknowledged = False
        self._queue = queue
        self._message: bytes | None = None
        self._news = trio.Event()

    async def take(self) -> bytes:
        """Wait until the last run was acknowledged, then for the next one; it, as JSON.

        Raises:
            Unavailable: the store cannot be read.
        """
        while self.delivered is not None:
            await self._wait()
        self._queue.deliver(self)
        while self._message is None:
            with self._queue.waiting(self):
                await self._wait()
        message, self._message = self._message, None
        return message

    def give(self, place: Place, message: bytes) -> None:
        """Let `take` have this run."""
        self.delivered = place
        self._message = message
        self._news.set()

    def acknowledge(self) -> None:
        """The worker has taken what was delivered, and nobody else gets it while it lives."""
        place = self.delivered
        assert place is not None
        self.delivered = None
        self.has_acknowledged = True
        self._queue.note_held(Hold(place, self.number))
        self._news.set()

    async def _wait(self) -> None:
        await self._news.wait()
        self._news = trio.Event()


class TaskQueue:
    """See the module's head."""

    def __init__(self, journal: Journal, readers: Readers, mint: Mint, settings: Settings) -> None:
        self._journal = journal
        self._readers = readers
        self._mint = mint
        self._newest = readers.inline(table.newest_holder)
        self._hold_s = settings.task_hold_s
        self._subscriptions: dict[int, Subscription] = {}
        self._waiting: dict[str, dict[int, Subscription]] = {}
        self._under_way: dict[str, dict[str, Place]] = {}
        self._dry: set[str] = set()
        self._stirred: dict[str, None] = {}
        self._changes = Changes()
        self._deadlines: dict[Holders, float] = {}
        self._has_stirred = trio.Event()
        self._has_changes = trio.Event()
        self._is_closing = False
        journal.subscribe(self._on_commit)

    # What sockets and requests call.

    @contextmanager
    def subscribe(self, keys: Sequence[str], client_id: str) -> Iterator[Subscription]:
        """A worker's place. When it ends, what was delivered and not acknowledged goes to others.

        Raises:
            Unavailable: too many workers are connected, or the server stops.
        """
        if self._is_closing:
            raise Unavailable("The server is stopping.")
        if len(self._subscriptions) >= SUBSCRIBERS_MAX:
            raise Unavailable(f"{SUBSCRIBERS_MAX} task workers are connected; no more are served.")
        self._newest += 1
        number = self._newest
        subscription = Subscription(self, number, tuple(dict.fromkeys(keys)), client_id)
        self._subscriptions[number] = subscription
        observe("lictor.task_queue.worker.start", client=client_id, keys=len(subscription.keys))
        try:
            yield subscription
        finally:
            del self._subscriptions[number]
            if subscription.delivered is not None:
                self._changes.returned.append(subscription.delivered)
                self._has_changes.set()
            if subscription.has_acknowledged:
                self._deadlines[(number, number)] = trio.current_time() + GONE_S
                self._has_changes.set()
            observe("lictor.task_queue.worker.stop", client=client_id)

    def workers(self, keys: Sequence[str]) -> list[TaskWorker]:
        """The connected workers that serve one of `keys`; all of them without keys.

        A worker is seen at this moment: its socket is open.
        """
        found: dict[str, dict[str, None]] = {}
        for subscription in self._subscriptions.values():
            served = found.setdefault(subscription.client_id, {})
            served.update(dict.fromkeys(subscription.keys))
        now = self._mint.now()
        wanted = set(keys)
        return [
            TaskWorker(client_id, list(served), now)
            for client_id, served in found.items()
            if not wanted or not wanted.isdisjoint(served)
        ]

    # What a subscription calls.

    @contextmanager
    def waiting(self, subscription: Subscription) -> Iterator[None]:
        """Let `subscription` be given what comes for its keys; the longest waiting goes first."""
        for key in subscription.keys:
            self._waiting.setdefault(key, {})[subscription.number] = subscription
        try:
            yield
        finally:
            for key in subscription.keys:
                del self._waiting[key][subscription.number]
                if not self._waiting[key]:
                    del self._waiting[key]

    def deliver(self, subscription: Subscription) -> bool:
        """Give `subscription` the next run for its keys, if there is one.

        Raises:
            Unavailable: the store cannot be read.
        """
        for key in subscription.keys:
            if key in self._dry:
                continue
            found = self._first(key)
            if found is not None:
                subscription.give(*found)
                return True
            if len(self._dry) >= DRY_KEYS_MAX:
                self._dry.clear()
            self._dry.add(key)
        return False

    def note_held(self, hold: Hold) -> None:
        """Have it written down that a run was acknowledged."""
        self._changes.held.append(hold)
        self._has_changes.set()

    # The actor's own tasks.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `close` was called and what was acknowledged is written down."""
        if self._newest:
            self._deadlines[(0, self._newest)] = trio.current_time() + self._hold_s
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_forever)
            task_status.started()
            await self._write_forever()
            nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Refuse new subscriptions; `run` returns when everything is written."""
        self._is_closing = True
        self._has_changes.set()

    async def _deliver_forever(self) -> None:
        """Give what has come to those who wait for it."""
        while True:
            await self._has_stirred.wait()
            self._has_stirred = trio.Event()
            try:
                while self._stirred:
                    self._deliver_key(next(iter(self._stirred)))
            except Unavailable as refusal:
                observe("lictor.task_queue.delivery.error", error=refusal.reason)
                self._has_stirred.set()
                await trio.sleep(RETRY_S)

    def _deliver_key(self, key: str) -> None:
        for subscription in list(self._waiting.get(key, {}).values()):
            if subscription.delivered is None and not self.deliver(subscription):
                break
        del self._stirred[key]

    async def _write_forever(self) -> None:
        """Write what subscriptions did, and let go of what holders have left, when it is time."""
        while True:
            earliest = min(self._deadlines.values(), default=float("inf"))
            with trio.move_on_at(earliest):
                await self._has_changes.wait()
            self._has_changes = trio.Event()
            try:
                await self._write()
            except (Unavailable, GroupFailed) as refusal:
                observe("lictor.task_queue.write.error", error=str(refusal))
                if self._is_closing:
                    return
                self._has_changes.set()
                await trio.sleep(RETRY_S)
            if self._is_closing and not self._has_changes.is_set():
                return

    async def _write(self) -> None:
        changes, now = self._changes, trio.current_time()
        due = [holders for holders, deadline in self._deadlines.items() if deadline <= now]
        if not (changes.held or changes.returned or changes.refused or due):
            return
        self._changes = Changes()
        try:
            keys = await self._journal.write(partial(_write, changes=changes, due=due))
        except BaseException:
            self._put_back(changes)
            raise
        for holders in due:
            del self._deadlines[holders]
        for place in (*(hold.place for hold in changes.held), *changes.returned, *changes.refused):
            self._arrived(place)
        for key in dict.fromkeys((*keys, *(place.task_key for place in changes.returned))):
            self._stir(key)

    def _put_back(self, changes: Changes) -> None:
        later = self._changes
        self._changes = Changes(
            changes.held + later.held,
            changes.returned + later.returned,
            changes.refused + later.refused,
        )

    def _first(self, key: str) -> tuple[Place, bytes] | None:
        """The next run for `key`, and as JSON; from now on it is under way."""
        while True:
            under_way = self._under_way.get(key, {})
            now = parse(self._mint.now())
            run = self._readers.inline(
                partial(table.first, task_key=key, besides=list(under_way), now=now)
            )
            if run is None:
                return None
            assert run.state_id is not None
            place = Place(run.id, run.state_id, key)
            self._under_way.setdefault(key, {})[run.id] = place
            data = msgspec.json.encode(run)
            if len(data) <= MESSAGE_BYTES_MAX:
                return place, data
            # No worker could take it, and each would lose its connection trying.
            observe("lictor.task_queue.run.refuse", task_run=run.id, size_bytes=len(data))
            self._changes.refused.append(place)
            self._has_changes.set()

    def _arrived(self, place: Place) -> None:
        """What happened to a run under way is written down."""
        under_way = self._under_way[place.task_key]
        del under_way[place.task_run_id]
        if not under_way:
            del self._under_way[place.task_key]

    def _on_commit(self, published: list[object]) -> None:
        for item in published:
            if isinstance(item, DeferredTaskRun):
                self._stir(item.task_key)

    def _stir(self, key: str) -> None:
        self._dry.discard(key)
        if key in self._waiting:
            self._stirred[key] = None
            self._has_stirred.set()


def _write(tx: Tx, changes: Changes, due: list[Holders]) -> list[str]:
    """What was acknowledged is written first: its holder may be among those that are due."""
    keys = table.write(tx, changes)
    for lowest, highest in due:
        keys += table.release(tx, lowest, highest)
    return keys
