"""Event hub: stores what clients report in batches, and hands what has been stored to live readers.

Owns    the batches that wait, the subscriptions to events, and the pages read for readers behind.
Serves  `accept(events)` and `submit(events)`; `subscribe(filter)`, a context manager; `after(seq)`.
Limits  `batches_waiting_max` batches and `bytes_waiting_max` bytes wait: then `accept` refuses with
        503 and `submit` waits; `EVENTS_PER_JOB` events, or one batch, go into one job.
Fails   a job that fails of itself is repeated event by event, so that a bad one stops no other;
        when the disk refuses, all whose events were in the job are told.

Theory: while one job is being written the next batches gather, and share its look-ups of names and
resources. Whatever stores events (this hub, a transition of a flow run) publishes them with their
transaction, so the hub hears of each once, in commit order. A reader that is behind goes on from
the table; readers behind together share the pages, and frames are built once for all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

import trio

from lictor.actors.event_pages import Delivery, EventPages
from lictor.actors.fanout import Fanout, Subscription
from lictor.actors.journal import GroupFailed, Journal
from lictor.actors.mailbox import Mailbox
from lictor.actors.observe import observe
from lictor.actors.readers import Readers
from lictor.config.settings import Settings
from lictor.schema.commands import record_events
from lictor.schema.errors import Unavailable
from lictor.schema.events.event import Event, Limits, StoredEvent
from lictor.schema.events.filters import CompiledFilter
from lictor.schema.mint import Mint
from lictor.schema.tables import events as table

BATCHES_WAITING_MAX = 512
BYTES_WAITING_MAX = 64 * 1024 * 1024
EVENTS_PER_JOB = 1000

_logger = logging.getLogger(__name__)


class Pending:
    """A batch under way; `wait` returns once it is on disk."""

    __slots__ = ("done", "error", "events", "size_bytes")

    def __init__(self, events: Sequence[Event], size_bytes: int) -> None:
        self.events = events
        self.size_bytes = size_bytes
        self.done = trio.Event()
        self.error: Unavailable | None = None

    async def wait(self) -> None:
        """Wait for the commit.

        Raises:
            Unavailable: the disk refused, or the server is stopping; nothing of it was stored.
        """
        await self.done.wait()
        if self.error is not None:
            raise self.error


class EventHub:
    """See the module's head. `newest_seq`: the last sequence number in the table at the start."""

    def __init__(
        self,
        journal: Journal,
        readers: Readers,
        mint: Mint,
        settings: Settings,
        newest_seq: int,
        *,
        batches_waiting_max: int = BATCHES_WAITING_MAX,
        bytes_waiting_max: int = BYTES_WAITING_MAX,
    ) -> None:
        self.limits = Limits(
            settings.events_bytes_max,
            settings.events_name_length_max,
            settings.events_labels_max,
            settings.events_related_max,
        )
        self._journal = journal
        self._mint = mint
        self._mailbox: Mailbox[Pending] = Mailbox("event hub", batches_waiting_max)
        self._bytes_waiting = 0
        self._bytes_waiting_max = bytes_waiting_max
        self._room = trio.Event()
        self._pages = EventPages(readers)
        self._fanout: Fanout[Delivery] = Fanout(
            "The event stream", lambda item: item.frame, newest_seq
        )
        journal.subscribe(self._on_commit)

    async def accept(self, events: Sequence[Event], size_bytes: int) -> None:
        """Store `events`, which came in `size_bytes` bytes; returns once they are on disk.

        Raises:
            Unavailable: too much waits, or the disk refused; nothing of it was stored.
        """
        if not events:
            return
        if self._is_full(size_bytes):
            raise Unavailable("Too many events are waiting to be stored; try again shortly.")
        pending = Pending(events, size_bytes)
        self._mailbox.put(pending)
        self._bytes_waiting += size_bytes
        await pending.wait()

    async def submit(self, events: Sequence[Event], size_bytes: int) -> Pending:
        """Leave `events` to be stored, waiting for room; they are stored even if nobody waits.

        Raises:
            Unavailable: the server is stopping.
        """
        while self._is_full(size_bytes):
            await self._room.wait()
        pending = Pending(events, size_bytes)
        self._bytes_waiting += size_bytes
        try:
            await self._mailbox.send(pending)
        except BaseException:
            self._release(pending)
            raise
        return pending

    def subscribe(self, compiled: CompiledFilter) -> AbstractContextManager[Subscription[Delivery]]:
        """Follow the events that match, from the newest that has been handed round on.

        Raises:
            Unavailable: too many follow already.
        """
        names, matches = compiled.names, compiled.matches
        if names is None:
            return self._fanout.subscribe(lambda item: matches(item.event))
        # Most subscriptions ask for a few names: that test first, without another call.
        return self._fanout.subscribe(
            lambda item: item.event.event in names and matches(item.event)
        )

    async def after(self, seq: int) -> tuple[Sequence[Delivery], int]:
        """Stored events behind `seq`, and the sequence number up to which these are all.

        Raises:
            Unavailable: the store is too busy.
        """
        return await self._pages.after(seq)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `close` was called and the mailbox is empty."""
        taken: list[Pending] = []
        task_status.started()
        try:
            while True:
                try:
                    taken = await self._mailbox.take(self._mailbox.limit)
                except trio.EndOfChannel:
                    return
                for job in _jobs(taken):
                    await self._store(job)
        finally:
            for pending in (*taken, *self._mailbox.abandon()):
                if not pending.done.is_set():
                    self._answer(pending, Unavailable("The server is stopping."))

    def close(self) -> None:
        """Refuse new batches; `run` returns when the waiting ones are stored."""
        self._mailbox.close()
        self._room.set()

    def _is_full(self, size_bytes: int) -> bool:
        """Whether `size_bytes` more are too many; a batch of any size may wait alone."""
        waiting = self._bytes_waiting
        return waiting > 0 and waiting + size_bytes > self._bytes_waiting_max

    def _release(self, pending: Pending) -> None:
        self._bytes_waiting -= pending.size_bytes
        self._room.set()
        self._room = trio.Event()

    def _answer(self, pending: Pending, error: Unavailable | None) -> None:
        self._release(pending)
        pending.error = error
        pending.done.set()

    async def _store(self, job: list[Pending]) -> None:
        """One job for all batches of `job`."""
        events = [event for pending in job for event in pending.events]
        error: Unavailable | None = None
        try:
            await self._journal.write(partial(record_events.store, events=events, mint=self._mint))
        except Unavailable as refusal:
            error = refusal
        except Exception:
            _logger.exception("A job of %d events failed; storing them one by one", len(events))
            for pending in job:
                self._answer(pending, await self._store_singly(pending.events))
            return
        for pending in job:
            self._answer(pending, error)

    async def _store_singly(self, events: Sequence[Event]) -> Unavailable | None:
        """Each event in a job of its own; one that cannot be recorded is stored all the same."""
        for event in events:
            attempts = (
                partial(record_events.store, events=[event], mint=self._mint),
                partial(table.insert, events=[event]),
            )
            for attempt in attempts:
                try:
                    await self._journal.write(attempt)
                except Unavailable as refusal:
                    return refusal
                except GroupFailed as failure:
                    # Perhaps no fault of the event: its sender keeps it, and comes again.
                    return Unavailable(str(failure), 5)
                except Exception:
                    _logger.exception("The event %s could not be stored and recorded", event.id)
                else:
                    break
            else:
                observe("lictor.events.event.drop", event=event.id)
        return None

    def _on_commit(self, published: list[object]) -> None:
        stored = [item for item in published if isinstance(item, StoredEvent)]
        if not stored:
            return
        if len(self._fanout):
            self._fanout.publish([(item.seq, Delivery(item)) for item in stored])
        else:
            self._fanout.advance(stored[-1].seq)


def _jobs(taken: list[Pending]) -> list[list[Pending]]:
    """`taken` cut into jobs of at most `EVENTS_PER_JOB` events, or of one batch."""
    jobs: list[list[Pending]] = []
    count = EVENTS_PER_JOB
    for pending in taken:
        if count + len(pending.events) > EVENTS_PER_JOB:
            jobs.append([])
            count = 0
        jobs[-1].append(pending)
        count += len(pending.events)
    return jobs
