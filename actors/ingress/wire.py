"""The bytes of one connection, over a bare TCP socket or over TLS.

Sending tries the socket once without waiting and without a checkpoint: almost every answer fits the
kernel's buffer, and the receive that follows is the checkpoint.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final, Protocol

import trio

READ_BYTES: Final = 64 * 1024
LINGER_S: Final = 2.0
_GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class Gone(Exception):
    """The peer is away, or the connection was closed under the reader; nothing more can be sent."""


class Wire(Protocol):
    """What the lanes need of a connection."""

    async def receive(self) -> bytes:
        """Wait for bytes; empty when the peer has finished sending.

        Raises:
            Gone: the connection is broken.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Write all of `data`, waiting for a slow reader.

        Raises:
            Gone: the connection is broken.
        """
        ...

    async def finish(self) -> None:
        """End the connection so that the peer can still read what was sent.

        A socket closed with unread bytes resets the connection and may take the last answer with it
        (RFC 9112 section 9.6): so only the sending side is closed, and what still comes is
        discarded for a while.
        """
        ...

    def abort(self) -> None:
        """Close at once. Whoever waits in `receive` or `send` gets `Gone`."""
        ...


class TcpWire:
    """A plain connection. `raw` shares the stream's descriptor, for calls that never wait."""

    __slots__ = ("_raw", "_stream")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._raw = socket.socket(fileno=stream.socket.fileno())

    def release(self) -> None:
        """Give the descriptor back to the stream, its only owner."""
        self._raw.detach()

    async def receive(self) -> bytes:
        raw = self._raw
        try:
            await trio.lowlevel.wait_readable(raw)
            return raw.recv(READ_BYTES)
        except BlockingIOError:  # a spurious wake-up; the stream waits properly
            return await _receive(self._stream)
        except _GONE as error:
            raise Gone from error

    async def send(self, data: bytes) -> None:
        try:
            sent = self._raw.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Gone from error
        if sent < len(data):
            await _send_all(self._stream, memoryview(data)[sent:])

    async def finish(self) -> None:
        with trio.move_on_after(LINGER_S):
            with suppress(*_GONE, trio.BusyResourceError):  # nobody may be left to linger for
                await self._stream.send_eof()
                while await self._stream.receive_some(READ_BYTES):
                    continue

    def abort(self) -> None:
        self._stream.socket.close()
        self._raw.detach()  # its number may soon be another connection's


class TlsWire:
    """A connection over TLS, its handshake done."""

    __slots__ = ("_stream",)

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        return await _receive(self._stream)

    async def send(self, data: bytes) -> None:
        await _send_all(self._stream, data)

    async def finish(self) -> None:
        with trio.move_on_after(LINGER_S):
            with suppress(*_GONE):  # nobody may be left to say good-bye to
                await self._stream.aclose()

    def abort(self) -> None:
        self._stream.transport_stream.socket.close()


async def _receive(stream: trio.abc.ReceiveStream) -> bytes:
    try:
        return bytes(await stream.receive_some(READ_BYTES))
    except _GONE as error:
        raise Gone from error


async def _send_all(stream: trio.abc.SendStream, data: bytes | memoryview) -> None:
    try:
        await stream.send_all(data)
    except _GONE as error:
        raise Gone from error
