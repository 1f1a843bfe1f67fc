"""Log writer: stores batches of log lines, and hands what it has stored to live tails.

Owns    the batches that wait, and the subscriptions to log lines.
Serves  `write(lines, size_bytes)`; `tail(filter)`, a context manager.
Limits  `batches_waiting_max` batches and `bytes_waiting_max` bytes wait (then 503);
        `BATCHES_PER_JOB` batches go into one job.
Timer   for `REPEATS_S` seconds after the start, batches that were stored before it are skipped.
Fails   as the journal does: a job that fails is answered to all whose batches were in it.

Theory: while one job is being written, the next batches gather. A job takes what waits, so that run
ids and logger names are looked up once for many batches. Bytes are counted as they came, until the
answer: what waits in the mailbox and what is under way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import msgspec
import trio

from lictor.actors.fanout import Fanout, Subscription
from lictor.actors.ingress.socket import text_frame
from lictor.actors.journal import Journal
from lictor.actors.mailbox import Mailbox
from lictor.actors.observe import observe
from lictor.schema.backends.tx import Tx
from lictor.schema.errors import Unavailable
from lictor.schema.filters.logs import LiveFilter, LogFilter
from lictor.schema.mint import Mint
from lictor.schema.tables import logs as table
from lictor.schema.tables.logs import StoredLine, StoredLogs
from lictor.schema.wire.logs import Log, LogCreate

BATCHES_WAITING_MAX = 1024
BYTES_WAITING_MAX = 64 * 1024 * 1024
BATCHES_PER_JOB = 64
REPEATS_S = 120.0
"""Prefect's clients send a batch again that was not answered, for 62 s and some jitter."""
FRAME_BYTES_MAX = 1024 * 1024
"""Prefect's clients close the connection on a longer message; one line less is the smaller loss."""

_encode = msgspec.json.Encoder().encode


class _LogMessage(msgspec.Struct, tag_field="type", tag="log"):
    log: Log


class _Pending:
    """A batch, and the slot its answer is left in."""

    __slots__ = ("done", "error", "lines")

    def __init__(self, lines: list[LogCreate]) -> None:
        self.lines = lines
        self.done = trio.Event()
        self.error: Exception | None = None


class LogWriter:
    """See the module's head. `newest_seq`: the last sequence number in the table at the start."""

    def __init__(
        self,
        journal: Journal,
        mint: Mint,
        newest_seq: int,
        *,
        batches_waiting_max: int = BATCHES_WAITING_MAX,
        bytes_waiting_max: int = BYTES_WAITING_MAX,
    ) -> None:
        self._journal = journal
        self._mint = mint
        self._mailbox: Mailbox[_Pending] = Mailbox("log writer", batches_waiting_max)
        self._bytes_waiting = 0
        self._bytes_waiting_max = bytes_waiting_max
        self._stored_before = newest_seq
        self._repeats_until_s = -math.inf
        self._fanout: Fanout[StoredLine] = Fanout(
            "The log stream", lambda item: frame_of(item.log), newest_seq
        )
        journal.subscribe(self._on_commit)

    async def write(self, lines: list[LogCreate], size_bytes: int) -> None:
        """Store `lines`, which came in a body of `size_bytes`; returns once they are on disk.

        Raises:
            Unavailable: too much waits, or the disk refused; nothing of it was stored.
        """
        if not lines:
            return
        if self._bytes_waiting and self._bytes_waiting + size_bytes > self._bytes_waiting_max:
            raise Unavailable("Too many log lines are waiting to be stored; try again shortly.")
        pending = _Pending(lines)
        self._mailbox.put(pending)
        self._bytes_waiting += size_bytes
        try:
            await pending.done.wait()
        finally:
            self._bytes_waiting -= size_bytes
        if pending.error is not None:
            raise pending.error

    def tail(self, criteria: LogFilter) -> AbstractContextManager[Subscription[StoredLine]]:
        """Follow the lines that match, from now on.

        Raises:
            Unavailable: too many follow already.
        """
        live = LiveFilter(criteria)
        return self._fanout.subscribe(lambda item: live.matches(item.line))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `close` was called and the mailbox is empty."""
        taken: list[_Pending] = []
        if self._stored_before:
            self._repeats_until_s = trio.current_time() + REPEATS_S
        task_status.started()
        try:
            while True:
                try:
                    taken = await self._mailbox.take(BATCHES_PER_JOB)
                except trio.EndOfChannel:
                    return
                await self._store(taken)
        finally:
            for pending in (*taken, *self._mailbox.abandon()):
                if not pending.done.is_set():
                    pending.error = Unavailable("The server is stopping.")
                    pending.done.set()

    def close(self) -> None:
        """Refuse new batches; `run` returns when the waiting ones are stored."""
        self._mailbox.close()

    async def _store(self, taken: list[_Pending]) -> None:
        error: Exception | None = None
        try:
            await self._journal.write(self._job([pending.lines for pending in taken]))
        except Exception as refusal:
            error = refusal
        for pending in taken:
            pending.error = error
            pending.done.set()

    def _job(self, batches: list[list[LogCreate]]) -> Callable[[Tx], None]:
        if trio.current_time() < self._repeats_until_s:
            until = self._stored_before
            insert = table.insert_unless_repeated
            return partial(insert, batches=batches, mint=self._mint, stored_until=until)
        lines = [line for batch in batches for line in batch]
        return partial(table.insert, lines=lines, mint=self._mint)

    def _on_commit(self, published: list[object]) -> None:
        for item in published:
            if not isinstance(item, StoredLogs):
                continue
            if len(self._fanout):
                self._fanout.publish(item.numbered())
            else:
                self._fanout.advance(item.last_seq)


def frame_of(log: Log) -> bytes | None:
    """The frame in which a live tail is sent `log`; None when no client would take it."""
    data = _encode(_LogMessage(log))
    if len(data) > FRAME_BYTES_MAX:
        observe("lictor.logs.frame.skipped", size_bytes=len(data))
        return None
    return text_frame(data)
