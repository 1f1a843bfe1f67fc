"""Fan-out: hands what has been stored, in commit order, to live readers of unequal speed.

Owns    the subscriptions of one stream.
Serves  `publish(items)`, from a journal's subscriber; `subscribe(matches)`, a context manager.
Limits  `subscribers_max` subscriptions (then `Unavailable`); for each, `waiting_bytes_max` bytes.
Fails   never silently: a subscription that is full, or begins in the past, is `behind`.

Theory: every item has a sequence number in commit order. A live subscription queues the frames of
what matches; each frame is built once for all of them. One that cannot take the next frame stops
queueing and remembers where: it is behind, as is one that begins in the past. Its reader takes what
is queued, then reads the table from `cursor` on, page by page, and calls `caught_up` with how far
that went. Nothing is awaited between that look and the switch to live, so no item falls between
table and queue; and what the table showed before it was published is told by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from lictor.schema.errors import Unavailable

T = TypeVar("T")

SUBSCRIBERS_MAX = 1024
WAITING_BYTES_MAX = 1024 * 1024


class Subscription(Generic[T]):
    """One reader's place in the stream; made by `Fanout.subscribe`.

    `cursor`: everything up to this sequence number has been queued for the reader, or does not
    concern it.
    """

    def __init__(
        self,
        fanout: Fanout[T],
        matches: Callable[[T], bool],
        cursor: int,
        waiting_bytes_max: int,
    ) -> None:
        self.matches = matches
        self.cursor = cursor
        self.is_behind = cursor < fanout.head
        self._fanout = fanout
        self._frames: list[bytes] = []
        self._waiting_bytes = 0
        self._waiting_bytes_max = waiting_bytes_max
        self._has_news = trio.Event()
        if self.is_behind:
            self._has_news.set()

    async def take(self) -> list[bytes]:
        """Wait for frames; all that are queued, in commit order.

        An empty list means that the subscription is behind: go on with the table from `cursor`.
        """
        await self._has_news.wait()
        frames, self._frames = self._frames, []
        self._waiting_bytes = 0
        if not self.is_behind:
            self._has_news = trio.Event()
        return frames

    def caught_up(self, cursor: int) -> bool:
        """Say that the table was read up to `cursor`; whether the subscription is live now."""
        self.cursor = cursor
        if cursor < self._fanout.head:
            return False
        self.is_behind = False
        self._has_news = trio.Event()
        return True

    def offer(self, frame: bytes) -> bool:
        """Queue `frame`; False when there is no room and the subscription falls behind.

        A frame of any size goes into an empty queue.
        """
        self._has_news.set()
        if self._frames and self._waiting_bytes + len(frame) > self._waiting_bytes_max:
            self.is_behind = True
            return False
        self._frames.append(frame)
        self._waiting_bytes += len(frame)
        return True


class Fanout(Generic[T]):
    """See the module's head. `frame` builds what is queued for an item; None skips the item.

    `head` is the sequence number of the newest item, to begin with the newest one in the table.
    """

    def __init__(
        self,
        name: str,
        frame: Callable[[T], bytes | None],
        head: int,
        *,
        subscribers_max: int = SUBSCRIBERS_MAX,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self.head = head
        self._name = name
        self._frame = frame
        self._subscribers_max = subscribers_max
        self._waiting_bytes_max = waiting_bytes_max
        self._subscriptions: set[Subscription[T]] = set()

    def __len__(self) -> int:
        return len(self._subscriptions)

    @contextmanager
    def subscribe(
        self, matches: Callable[[T], bool], *, after: int | None = None
    ) -> Iterator[Subscription[T]]:
        """Follow what matches: from now on, or from behind the sequence number `after`.

        Raises:
            Unavailable: there are too many subscriptions.
        """
        if len(self._subscriptions) >= self._subscribers_max:
            raise Unavailable(f"{self._name} has {len(self)} subscribers; try again later.", 10)
        cursor = self.head if after is None else after
        subscription = Subscription(self, matches, cursor, self._waiting_bytes_max)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, items: Sequence[tuple[int, T]]) -> None:
        """Queue `items`, just committed, each with its sequence number.

        Must be called on the loop, in commit order, with everything that is stored.
        """
        live = [each for each in self._subscriptions if not each.is_behind]
        for seq, item in items:
            takers = [each for each in live if _is_due(each, seq) and each.matches(item)]
            frame = self._frame(item) if takers else None
            if frame is None:
                continue
            for subscription in takers:
                if not subscription.offer(frame):
                    subscription.cursor = seq - 1
        if items:
            self.advance(items[-1][0])

    def advance(self, head: int) -> None:
        """Note that everything up to `head` is stored and concerns nobody who is live."""
        self.head = head
        for subscription in self._subscriptions:
            if not subscription.is_behind:
                subscription.cursor = max(subscription.cursor, head)


def _is_due(subscription: Subscription[T], seq: int) -> bool:
    return not subscription.is_behind and seq > subscription.cursor
