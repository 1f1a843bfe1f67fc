"""Pages of stored events in commit order, shared by the readers that are behind.

Owns    the last few pages read, with the frames built from them.
Limits  `PAGES_KEPT` pages of `PAGE_EVENTS` events; others are read again.

Theory: pages are cut at fixed sequence numbers, so readers that are behind by about as much ask for
the same ones. A page is kept once its end or something behind it exists, for then nothing can join
it any more: the order of sequence numbers is the order of commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from lictor.actors.ingress.socket import text_frame
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.schema.events.event import Event, StoredEvent
from lictor.schema.tables import events as table

PAGE_EVENTS = 100
PAGES_KEPT = 8
FRAME_BYTES_MAX = 1024 * 1024
"""Prefect's clients close the connection on a longer message; an event less is a smaller loss."""


class Delivery:
    """A stored event on its way to subscribers: its frame is built once for all of them."""

    __slots__ = ("_frame", "_is_built", "event", "seq", "stored")

    def __init__(self, stored: StoredEvent) -> None:
        self.seq = stored.seq
        self.event: Event = stored.event
        self.stored = stored
        self._frame: bytes | None = None
        self._is_built = False

    @property
    def frame(self) -> bytes | None:
        """The frame of the message; None when it is longer than clients take."""
        if not self._is_built:
            self._is_built = True
            data = b'{"type":"event","event":%b}' % self.stored.json
            if len(data) > FRAME_BYTES_MAX:
                observe("lictor.events.frame.skip", event=self.event.id, size_bytes=len(data))
            else:
                self._frame = text_frame(data)
        return self._frame


class _Reading:
    """A page being read, for whoever asks for it meanwhile. `found` stays None if that fails."""

    __slots__ = ("done", "found")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.found: tuple[Sequence[Delivery], int] | None = None


class EventPages:
    """See the module's head."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._pages: dict[int, Sequence[Delivery]] = {}
        """Complete pages by number, the least recently used first."""
        self._reading: dict[int, _Reading] = {}

    async def after(self, seq: int) -> tuple[Sequence[Delivery], int]:
        """Events behind `seq` up to the end of its page, and how far that reaches.

        Raises:
            Unavailable: too many reads wait, or this one took too long.
        """
        page, reach = await self._page(seq // PAGE_EVENTS)
        return [item for item in page if item.seq > seq], max(seq, reach)

    async def _page(self, number: int) -> tuple[Sequence[Delivery], int]:
        """Events with `number * PAGE_EVENTS < seq <= (number + 1) * PAGE_EVENTS`; how far it is."""
        while (reading := self._reading.get(number)) is not None:
            await reading.done.wait()
            if reading.found is not None:
                return reading.found
        if (kept := self._pages.pop(number, None)) is not None:
            self._pages[number] = kept
            return kept, (number + 1) * PAGE_EVENTS
        reading = self._reading[number] = _Reading()
        try:
            reading.found = await self._read(number)
        finally:
            del self._reading[number]
            reading.done.set()
        return reading.found

    async def _read(self, number: int) -> tuple[Sequence[Delivery], int]:
        end = (number + 1) * PAGE_EVENTS
        stored = await self._readers.read(
            partial(table.read_after, seq=number * PAGE_EVENTS, limit=PAGE_EVENTS)
        )
        newest = stored[-1].seq if stored else 0
        page = [Delivery(item) for item in stored if item.seq <= end]
        if newest < end:
            return page, newest
        self._pages[number] = page
        while len(self._pages) > PAGES_KEPT:
            del self._pages[next(iter(self._pages))]
        return page, end
