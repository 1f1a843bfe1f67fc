"""A WebSocket without a network: both of its ends, with little room between them."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from lictor.actors.ingress.http import Header
from lictor.actors.ingress.socket import Disconnected, Frame

ROOM = 2
"""Writes that wait for a slow client before the server's `send` waits as well."""


class SimulatedSocket:
    """To the server a `Socket`; to its client `give`, `take`, `leave`.

    `is_read`: the server has read all that was given, and waits for more. `life`: of the server.
    """

    def __init__(self, path: str, life: Any) -> None:
        self.path = path
        self.life = life
        self.query = b""
        self.headers: list[Header] = []
        self.subprotocols: tuple[str, ...] = ()
        self.peer: str | None = None
        self.close_code: int | None = None
        self.is_read = trio.Event()
        self._given, self._taken = trio.open_memory_channel[list[Frame]](100)
        self._out, self._in = trio.open_memory_channel[tuple[str, bytes]](ROOM)

    # The server's end

    async def accept(self, subprotocol: str | None = None) -> None:
        await trio.lowlevel.checkpoint()

    async def reject(self, status: int = 403) -> None:
        self.close_code = status
        self._out.close()

    async def receive(self) -> list[Frame]:
        if not self._taken.statistics().current_buffer_used:
            self.is_read.set()
        try:
            return await self._taken.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise Disconnected from None

    async def send(self, frames: bytes) -> None:
        await self._send("text", frames)

    async def pong(self, payload: bytes) -> None:
        await self._send("pong", payload)

    async def _send(self, kind: str, data: bytes) -> None:
        if self.life.disk.is_dead:
            raise Disconnected
        try:
            await self._out.send((kind, data))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Disconnected from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.close_code = code
        self._out.close()
        self._given.close()

    def end(self) -> None:
        """The handler has ended, or its server."""
        self._out.close()
        self._taken.close()
        self.is_read.set()

    # The client's end

    def give(self, *frames: Frame) -> bool:
        """Let frames arrive together; False when the connection is over."""
        try:
            self._given.send_nowait(list(frames))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        self.is_read = trio.Event()
        return True

    async def take(self) -> tuple[list[Any], list[bytes]]:
        """Messages and payloads of pongs of the next write.

        Raises:
            trio.EndOfChannel: the server has closed the connection, or is gone.
        """
        kind, data = await self._in.receive()
        return ([], [data]) if kind == "pong" else (messages(data), [])

    def leave(self) -> None:
        """Close the connection without a word."""
        self._given.close()
        self._in.close()


def messages(data: bytes) -> list[Any]:
    """The decoded text frames that `data` consists of."""
    found = []
    while data:
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        found.append(msgspec.json.decode(data[at : at + size]))
        data = data[at + size :]
    return found
