"""Readers: every read of the API. Short ones inline on the loop, long ones on a thread.

Owns    read-only connections: one for the loop, one for each reader thread.
Serves  `inline(query)` for reads by key; `read(query)` for everything else.
Limits  an inline read has `INLINE_LIMIT_S`, a read on a thread `time_limit_s` seconds; at most
        `waiting_limit` reads wait for a thread, none longer than `time_limit_s` (then 503).
Fails   a read that is too slow even on a thread is refused with 503 and the reason, and so is one
        the disk fails. A read whose caller was cancelled is interrupted and frees its thread.

Theory: which query is slow cannot be known beforehand, so `read` tries inline under a small budget,
is interrupted when that is spent, and starts again on a thread. The loop never stalls for longer
than the budget, and the usual page of fifty rows costs no thread hop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw
import trio

from lictor.actors.executor import Executor
from lictor.schema.backends import sqlite
from lictor.schema.backends.tx import ReadTx
from lictor.schema.errors import Unavailable

T = TypeVar("T")
Query = Callable[[ReadTx], T]

INLINE_LIMIT_S = 0.004
WAITING_LIMIT = 256


class Readers:
    """See the module's head. `threads` pairs each connection with the executor it lives on."""

    def __init__(
        self,
        loop: apsw.Connection,
        threads: Sequence[tuple[apsw.Connection, Executor]],
        *,
        time_limit_s: float = 30.0,
        waiting_limit: int = WAITING_LIMIT,
    ) -> None:
        self._loop = loop
        self._loop_tx = sqlite.SqliteTx(loop)
        self._time_limit_s = time_limit_s
        self._waiting_limit = waiting_limit
        self._waiting = 0
        self._give, self._free = trio.open_memory_channel[tuple[apsw.Connection, Executor]](
            len(threads)
        )
        for thread in threads:
            self._give.send_nowait(thread)

    def inline(self, query: Query[T]) -> T:
        """The answer of a read by key (microseconds), at once, without a checkpoint.

        Raises:
            Unavailable: the disk failed.
        """
        try:
            return query(self._loop_tx)
        except apsw.Error as error:
            raise sqlite.as_unavailable(error) or error from error

    async def read(self, query: Query[T]) -> T:
        """The answer of a search, count or aggregate. `query` may be run twice.

        Raises:
            Unavailable: it took too long, too many reads wait, or the disk failed.
        """
        try:
            return sqlite.read_briefly(self._loop, query, INLINE_LIMIT_S)
        except sqlite.QueryTooSlow:
            pass
        except apsw.Error as error:
            raise sqlite.as_unavailable(error) or error from error
        return await self.read_on_thread(query)

    async def read_on_thread(self, query: Query[T]) -> T:
        """As `read`, but never on the loop: for what is known to be long."""
        connection, executor = await self._take_thread()
        try:
            return await self._run(connection, executor, query)
        finally:
            self._give.send_nowait((connection, executor))

    async def _take_thread(self) -> tuple[apsw.Connection, Executor]:
        try:
            return self._free.receive_nowait()
        except trio.WouldBlock:
            pass
        if self._waiting >= self._waiting_limit:
            raise Unavailable(f"{self._waiting} searches are waiting; try again shortly.", 2)
        self._waiting += 1
        try:
            with trio.fail_after(self._time_limit_s):
                return await self._free.receive()
        except trio.TooSlowError:
            raise Unavailable("Other searches take too long; try again later.", 10) from None
        finally:
            self._waiting -= 1

    async def _run(self, connection: apsw.Connection, executor: Executor, query: Query[T]) -> T:
        abandoned: list[bool] = []
        try:
            return await executor.run(
                lambda: sqlite.read(connection, query, self._time_limit_s, lambda: bool(abandoned)),
                on_cancel=lambda: abandoned.append(True),
            )
        except sqlite.QueryTooSlow:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise Unavailable(
                f"The search took longer than {self._time_limit_s:g} s; narrow its filters.", 10
            ) from None
        except apsw.Error as error:
            raise sqlite.as_unavailable(error) or error from error
