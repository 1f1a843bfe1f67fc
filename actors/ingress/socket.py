"""What an API WebSocket looks like to its handler, whatever carries it.

Frames arrive in order, pings among them: the handler sends the pong itself, when what came before
the ping is safe. Nothing here answers on its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from lictor.actors.ingress.http import Header


class Text(msgspec.Struct, frozen=True):
    """A whole text message (fragments joined), as UTF-8 bytes."""

    data: bytes


class Binary(msgspec.Struct, frozen=True):
    """A whole binary message."""

    data: bytes


class Ping(msgspec.Struct, frozen=True):
    """A ping that waits for `Socket.pong(payload)`."""

    payload: bytes


Frame = Text | Binary | Ping


class Disconnected(Exception):
    """The peer closed or vanished; `code` is its close code, 1006 without one."""

    def __init__(self, code: int = 1006) -> None:
        super().__init__(code)
        self.code = code


class Socket(Protocol):
    """One WebSocket, from its upgrade request to its end."""

    path: str
    query: bytes
    headers: list[Header]
    subprotocols: tuple[str, ...]
    peer: str | None

    async def accept(self, subprotocol: str | None = None) -> None:
        """Answer 101."""
        ...

    async def reject(self, status: int = 403) -> None:
        """Answer the upgrade with an HTTP error instead; the socket is finished."""
        ...

    async def receive(self) -> list[Frame]:
        """Wait for frames; all that have arrived, at least one, in order.

        Raises:
            Disconnected: the connection is over.
        """
        ...

    async def send(self, frames: bytes) -> None:
        """Write ready-made frames (`text_frame`), waiting for a slow reader.

        Raises:
            Disconnected: the connection is over.
        """
        ...

    async def pong(self, payload: bytes) -> None:
        """Answer a ping."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a close frame (`reason` is cut to 123 bytes) and end the connection."""
        ...


SocketHandler = Callable[[Socket], Awaitable[None]]


def text_frame(data: bytes) -> bytes:
    """The bytes of one unmasked server text frame: built once, sent to every subscriber.

    Source: RFC 6455 section 5.2.
    """
    size = len(data)
    if size < 126:
        return b"\x81" + bytes((size,)) + data
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + data
    return b"\x81\x7f" + size.to_bytes(8, "big") + data
