"""The one way actors are reached: a bounded queue with a name and a stated act at its limit.

`put` never waits: a full mailbox refuses with `Unavailable`, which the edge turns into 503 with
Retry-After. `send` waits for room (back-pressure) and is for senders that can be made to wait, such
as a socket's reader.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

from lictor.schema.errors import Unavailable

M = TypeVar("M")


class Mailbox(Generic[M]):
    """A queue of at most `limit` messages for the actor called `name`."""

    def __init__(self, name: str, limit: int, retry_after_s: int = 1) -> None:
        self.name = name
        self.limit = limit
        self._retry_after_s = retry_after_s
        self._send, self._receive = trio.open_memory_channel[M](limit)

    def put(self, message: M) -> None:
        """Leave a message.

        Raises:
            Unavailable: the mailbox is full, or its actor has stopped.
        """
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            raise Unavailable(
                f"The {self.name} has {self.limit} requests waiting; try again shortly.",
                self._retry_after_s,
            ) from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Unavailable("The server is stopping.", self._retry_after_s) from None

    async def send(self, message: M) -> None:
        """Leave a message, waiting for room.

        Raises:
            Unavailable: the actor has stopped.
        """
        try:
            await self._send.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Unavailable("The server is stopping.", self._retry_after_s) from None

    async def take(self, most: int) -> list[M]:
        """Wait for a message, then take what else waits: 1 to `most` of them, in order.

        Raises:
            trio.EndOfChannel: `close` was called and everything has been taken.
        """
        taken = [await self._receive.receive()]
        receive_nowait = self._receive.receive_nowait
        try:
            while len(taken) < most:
                taken.append(receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        return taken

    def close(self) -> None:
        """Refuse new messages; those already inside are still taken."""
        self._send.close()

    def abandon(self) -> list[M]:
        """Refuse new messages, and give up those inside: the actor has ended.

        Whoever waits in `send` is refused too.
        """
        left = []
        try:
            while True:
                left.append(self._receive.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            pass
        self._receive.close()
        self._send.close()
        return left

    def __len__(self) -> int:
        return self._send.statistics().current_buffer_used
